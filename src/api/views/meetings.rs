// SPDX-License-Identifier: AGPL-3.0-or-later
//! From the facts of live meetings to what moderators are shown.

use std::collections::HashMap;

use crate::api::types::meetings::{
    AccountRef, ChannelView, ChannelsView, LedgerLineView, MeetingSummary, MeetingView, ParticipantView, WaiterView,
};
use crate::api::types::rooms::RoomRef;
use crate::core::keys::epoch::reason::Fate;
use crate::hub::facts::{ChannelFacts, LedgerLine, MeetingFacts, ParticipantFacts};
use crate::platform::store::accounts::Account;
use crate::values::id::AccountId;
use crate::values::name::RoomName;

/// A meeting in a list, with its room as it is called now.
pub fn summary(meeting: &MeetingFacts, room: &RoomName) -> MeetingSummary {
    MeetingSummary {
        id: meeting.id,
        room: RoomRef { id: meeting.room, name: room.clone() },
        began_at: meeting.began_at,
        locked: meeting.locked,
        participants: meeting.participants.len(),
        waiting: meeting.waiting.len(),
    }
}

/// A meeting; `known` are the accounts that may be named.
pub fn meeting(meeting: &MeetingFacts, known: &HashMap<AccountId, Account>) -> MeetingView {
    let waiting = meeting.waiting.iter().map(|waiter| WaiterView {
        number: waiter.number,
        display_name: waiter.display_name.clone(),
        account: known.get(&waiter.account).map(account),
        since: waiter.since,
    });
    MeetingView {
        id: meeting.id,
        room: RoomRef { id: meeting.room, name: meeting.room_name.clone() },
        began_at: meeting.began_at,
        locked: meeting.locked,
        epoch: meeting.epoch.map(|epoch| epoch.0),
        participants: meeting.participants.iter().map(|one| participant(one, known.get(&one.account))).collect(),
        waiting: waiting.collect(),
    }
}

fn account(account: &Account) -> AccountRef {
    AccountRef { id: account.id, user_name: account.user_name.clone(), role: account.role() }
}

fn participant(facts: &ParticipantFacts, known: Option<&Account>) -> ParticipantView {
    let [pose, voice, event, screen] = facts.channels.map(channel);
    ParticipantView {
        number: facts.number.0,
        display_name: facts.display_name.clone(),
        account: known.map(account),
        joined_at: facts.joined_at,
        carrier: facts.carrier.map(ToOwned::to_owned),
        muted: facts.muted,
        silenced: facts.silenced,
        moderator: facts.moderator,
        rtt_micros: facts.rtt.map(|rtt| rtt.as_micros().try_into().unwrap_or(u64::MAX)),
        channels: ChannelsView { pose, voice, event, screen },
        superseded: facts.superseded,
        culled: facts.culled,
        lost: facts.lost,
        refusals: facts.refusals.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
    }
}

const fn channel(facts: ChannelFacts) -> ChannelView {
    let ChannelFacts { frames_in, bytes_in, frames_out, bytes_out } = facts;
    ChannelView { frames_in, bytes_in, frames_out, bytes_out }
}

/// A line of the ledger.
pub fn ledger_line(line: &LedgerLine) -> LedgerLineView {
    let (fate, members, late) = match line.fate {
        Fate::Announced { members } => ("announced", Some(members), None),
        Fate::Discarded => ("discarded", None, None),
        Fate::Switched { members, late } => ("switched", Some(members), Some(late)),
        Fate::Retired => ("retired", None, None),
    };
    LedgerLineView {
        epoch: line.epoch.0,
        reasons: line.reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
        at: line.at,
        fate: fate.to_owned(),
        members,
        late,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::auth::login::AccountStatus;
    use crate::core::auth::permission::{Permissions, Role, Roles};
    use crate::core::keys::epoch::reason::Reason;
    use crate::values::id::{MeetingId, RoomId, SessionId, WorkspaceId};
    use crate::values::time::Timestamp;
    use crate::wire::kid::{Epoch, Participant};

    const ADA: AccountId = AccountId::from_bytes([1; 16]);

    fn facts() -> MeetingFacts {
        let counted = ChannelFacts { frames_in: 1, bytes_in: 2, frames_out: 3, bytes_out: 4 };
        let participant = ParticipantFacts {
            number: Participant(7),
            account: ADA,
            session: SessionId::from_bytes([2; 16]),
            display_name: "Ada".parse().unwrap(),
            joined_at: Timestamp::from_millis(0),
            carrier: Some("quic"),
            muted: true,
            silenced: false,
            moderator: true,
            rtt: Some(Duration::from_micros(1_500)),
            channels: [ChannelFacts::default(), counted, ChannelFacts::default(), ChannelFacts::default()],
            superseded: 5,
            culled: 6,
            lost: 7,
            refusals: vec![("rate", 8)],
        };
        MeetingFacts {
            id: MeetingId::from_bytes([3; 16]),
            workspace: WorkspaceId::from_bytes([4; 16]),
            room: RoomId::from_bytes([5; 16]),
            room_name: "lobby".parse().unwrap(),
            began_at: Timestamp::from_millis(0),
            locked: false,
            epoch: Some(Epoch(9)),
            participants: vec![participant],
            waiting: Vec::new(),
            ledger: Vec::new(),
        }
    }

    #[test]
    fn an_account_that_may_not_be_named_is_not_and_everything_counted_is_shown() {
        let account = Account {
            id: ADA,
            user_name: "ada".parse().unwrap(),
            display_name: "Ada".parse().unwrap(),
            roles: Roles::only(Role::Admin),
            status: AccountStatus::Active,
            voice_off: false,
            by_hand: Permissions::NONE,
            created_at: Timestamp::from_millis(0),
            replayed_at: None,
        };
        let shown = |known| serde_json::to_value(meeting(&facts(), &known)).unwrap();
        let named = shown(HashMap::from([(ADA, account)]));
        let unnamed = shown(HashMap::new());
        assert_eq!(named["participants"][0]["account"]["user_name"], "ada");
        assert!(unnamed["participants"][0].get("account").is_none() && !unnamed.to_string().contains(&ADA.to_string()));
        let one = &unnamed["participants"][0];
        assert_eq!((&one["rtt_micros"], &one["refusals"]["rate"]), (&1_500.into(), &8.into()));
        assert_eq!(one["channels"]["voice"]["bytes_out"], 4);
        assert_eq!(one["channels"]["pose"]["frames_in"], 0);
    }

    #[test]
    fn a_ledger_line_says_why_and_what_became_of_it() {
        let fate = Fate::Switched { members: 3, late: 1 };
        let reasons = crate::core::keys::epoch::reason::Reasons::from(Reason::Join).and(Reason::Kick.into());
        let line = LedgerLine { epoch: Epoch(2), reasons, at: Timestamp::from_millis(0), fate };
        let shown = ledger_line(&line);
        assert_eq!((shown.reasons.join(" "), shown.fate.as_str()), ("join kick".to_owned(), "switched"));
        assert_eq!((shown.members, shown.late), (Some(3), Some(1)));
    }
}
