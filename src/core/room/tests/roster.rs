// SPDX-License-Identifier: AGPL-3.0-or-later
//! Who is told what of whom.

use super::{Handle, SPEAKER, Scene};
use crate::core::auth::ticket::Grant;
use crate::core::room::policy::RoomPolicy;
use crate::core::room::{Joined, Output, Wish};
use crate::wire::control::schema::{ServerMessage, Welcome, server_message::Body};
use crate::wire::control::{self, AVATAR_MAX};

/// What is told, and to whom; a welcome with nothing but its roster.
fn told(scene: &mut Scene) -> Vec<(Handle, Body)> {
    let told = scene.outputs().into_iter().filter_map(|output| match output {
        Output::Tell(handle, body) => Some((handle, body)),
        Output::Welcome(handle, arrival) => {
            Some((handle, Body::Welcome(Welcome { roster: arrival.roster, ..Welcome::default() })))
        }
        Output::Events(_) | Output::Close(..) => None,
    });
    told.collect()
}

#[test]
fn a_full_room_with_the_largest_avatars_fits_into_its_messages() {
    let mut scene = Scene::new(1, RoomPolicy { capacity: 200, ..RoomPolicy::default() });
    for _ in 0..199 {
        scene.enter(vec![0xff; AVATAR_MAX]);
        scene.outputs();
    }
    let (_, handle) = scene.enter(vec![0xff; AVATAR_MAX]);
    let voice_off = RoomPolicy { voice: false, ..*scene.room.policy() };
    scene.room.set_policy(voice_off);
    scene.wait(200);
    let (mut others, mut changed) = (0, 0);
    for (to, body) in told(&mut scene) {
        assert!(control::encode(&ServerMessage::from(body.clone())).is_ok());
        match body {
            Body::Welcome(welcome) => others += welcome.roster.len(),
            Body::Roster(roster) if to == handle => {
                others += roster.joined.len();
                changed += roster.changed.len();
            }
            _ => {}
        }
    }
    assert_eq!((others, changed), (199, 200));
}

#[test]
fn who_mutes_and_unmutes_all_the_time_is_told_of_ten_times_a_second() {
    let mut scene = Scene::new(2, RoomPolicy::default());
    let (ada, _) = scene.enter(Vec::new());
    let (_, bob) = scene.enter(Vec::new());
    scene.outputs();
    for toggle in 0..1_001_u32 {
        scene.room.set_muted(ada, toggle.is_multiple_of(2));
        scene.wait(5);
    }
    scene.wait(200);
    let rosters: Vec<_> = told(&mut scene).into_iter().filter(|(to, _)| *to == bob).collect();
    assert!((40..=55).contains(&rosters.len()), "{} in five seconds", rosters.len());
    let Some((_, Body::Roster(last))) = rosters.last() else { panic!("{rosters:?}") };
    assert!(last.changed[0].muted, "what holds in the end is told");
}

#[test]
fn who_comes_back_before_a_key_was_delivered_is_delivered_it() {
    let mut scene = Scene::new(3, RoomPolicy::default());
    let (ada, carrier) = scene.enter(Vec::new());
    scene.enter(Vec::new());
    scene.wait(2_000);
    scene.room.rotate(scene.now(), &mut scene.rng);
    let now = scene.now();
    scene.room.carrier_lost(ada, &carrier, now);
    let handle = scene.carrier();
    let number = scene.room.come_back(ada, handle, 0, now, &mut scene.rng).unwrap();
    let delivered = scene.delivered();
    assert!(!delivered.is_empty());
    assert!(delivered.iter().all(|(_, to)| to.contains(&number) && !to.contains(&ada)), "{delivered:?}");
}

#[test]
fn a_voice_that_is_switched_off_in_the_lobby_is_off_in_the_meeting() {
    let mut scene = Scene::new(4, RoomPolicy::default());
    let who = scene.newcomer(Grant { lobby: true, ..SPEAKER }, Vec::new());
    let (account, handle, now) = (who.account, scene.carrier(), scene.now());
    let Joined::Waits(number) = scene.room.join(who, handle, now, &mut scene.rng).unwrap() else { panic!("it is in") };
    scene.room.set_account_voice(account, true);
    scene.room.moderate(Wish::Admit(number), now, &mut scene.rng).unwrap();
    assert!(scene.room.members()[0].is_silenced());
    scene.room.set_account_voice(account, false);
    assert!(!scene.room.members()[0].is_silenced());
}
