// SPDX-License-Identifier: AGPL-3.0-or-later
//! Somebody in the meeting does not behave: it is refused and counted, and the others do not notice.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use conclave::client::account::Credential;
use conclave::client::carrier::{self, Kind};
use conclave::client::hostile::Hostile;
use conclave::wire::close::CloseCode;
use conclave::wire::control::schema::client_message::Body as Said;
use conclave::wire::control::schema::{ClientMessage, Join, Ping, Ready};
use conclave::wire::control::{self, MESSAGE_MAX};
use conclave::wire::datagram::DATAGRAM_MAX;
use conclave::wire::frame::{AudioLevel, Clear, Frame};
use conclave::wire::kid::{Channel, Epoch, Kid, Participant};
use conclave::wire::stream::{EVENT_MAX, StreamKind};
use tokio::time::timeout;
use web_transport_quinn::{RecvStream, SendStream, Session};

use crate::harness::{PATIENCE, Random};
use crate::xr::hall::{Guest, Hall, becomes, settled};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Two people who talk all the time, each word numbered, and what becomes of their words.
struct Witnesses {
    guests: [Arc<Guest>; 2],
    said: [Arc<AtomicU32>; 2],
    quiet: Arc<AtomicBool>,
}

/// What was heard of a part of it.
#[derive(Debug)]
struct Part {
    said: usize,
    lost: usize,
    p50: Duration,
    p99: Duration,
}

impl Witnesses {
    fn talk(hall: &Hall) -> Self {
        let guests = [hall.enter("ada", Kind::Quic), hall.enter("bob", Kind::WebTransport)].map(Arc::new);
        settled(&guests.each_ref().map(|guest| &**guest));
        let quiet = Arc::new(AtomicBool::new(false));
        let said = guests.each_ref().map(|guest| {
            let (guest, said, quiet) = (Arc::clone(guest), Arc::new(AtomicU32::new(0)), Arc::clone(&quiet));
            let count = Arc::clone(&said);
            hall.runtime.spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                while !quiet.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let number = said.load(Ordering::Relaxed);
                    let at = u64::try_from(BEGAN.elapsed().as_micros()).unwrap();
                    let word = [&number.to_be_bytes()[..], &at.to_be_bytes()].concat();
                    if guest.participant.send_voice(AudioLevel::SILENCE, &word).is_ok() {
                        said.store(number + 1, Ordering::Relaxed);
                    }
                }
            });
            count
        });
        Self { guests, said, quiet }
    }

    /// What is heard of what is said while something is done.
    fn during(&self, what: impl FnOnce()) -> Part {
        let said = || self.said.each_ref().map(|said| said.load(Ordering::Relaxed));
        let from = said();
        what();
        let to = said();
        // What was said last is on its way.
        std::thread::sleep(Duration::from_millis(500));
        let mut took = Vec::new();
        for (speaker, listener) in [(0, 1), (1, 0)] {
            for (word, came) in self.guests[listener].timed(&[self.guests[speaker].number()], Channel::Voice) {
                let (number, at) = word.bytes.split_first_chunk().unwrap();
                let at = Duration::from_micros(u64::from_be_bytes(at.try_into().unwrap()));
                if (from[speaker]..to[speaker]).contains(&u32::from_be_bytes(*number)) {
                    took.push(came.duration_since(*BEGAN).saturating_sub(at));
                }
            }
        }
        took.sort_unstable();
        let said: usize = (0..2).map(|one| (to[one] - from[one]) as usize).sum();
        let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
        Part { said, lost: said - took.len(), p50: at(50), p99: at(99) }
    }

    /// They are as well as before: nothing of theirs was refused, and no more was lost than a busy machine loses.
    fn are_unharmed(&self, hall: &Hall, what: &str, quiet: &Part, part: &Part) {
        let show = |part: &Part| format!("{} of {} lost, p50 {:?}, p99 {:?}", part.lost, part.said, part.p50, part.p99);
        eprintln!("{what}: {}; before: {}", show(part), show(quiet));
        assert!(part.said > 100, "{part:?}");
        assert!(quiet.lost * 10 <= quiet.said, "before {what}: {quiet:?}");
        assert!(part.lost * 50 <= part.said + quiet.lost * 50, "{what}: {part:?}, before: {quiet:?}");
        for guest in &self.guests {
            assert_eq!(hall.facts(&guest.name)["refusals"], serde_json::json!({}), "{what}");
            assert_eq!(guest.participant.counters().unopened.load(Ordering::Relaxed), 0, "{what}");
            assert_eq!(guest.heard(|heard| heard.entries.len()), 1, "{what}: {} lost its carrier", guest.name);
        }
        assert!(!hall.appliance.log().contains("panicked"), "{what}");
    }
}

/// A while in which nothing happens.
fn nothing() {
    std::thread::sleep(Duration::from_secs(3));
}

/// Somebody in the meeting, and its raw side.
struct Mallory<'h> {
    hall: &'h Hall,
    guest: &'h Guest,
    hostile: Hostile,
}

impl<'h> Mallory<'h> {
    fn new(hall: &'h Hall, guest: &'h Guest) -> Self {
        Self { hall, guest, hostile: guest.participant.hostile().unwrap() }
    }

    fn epoch(&self) -> Epoch {
        self.guest.participant.epoch().unwrap()
    }

    fn kid(&self, channel: Channel) -> Kid {
        Kid { epoch: self.epoch(), participant: self.guest.number(), channel }
    }

    /// A frame of voice, sealed as it should be, in a datagram.
    fn word(&self) -> Vec<u8> {
        Hostile::packed(&[self.frame()])
    }

    fn frame(&self) -> Vec<u8> {
        self.hostile.sealed(Channel::Voice, Clear::Level(AudioLevel::SILENCE), b"a word").unwrap()
    }

    /// Sends datagrams, spread a little, so that the kernel has room for them.
    fn send(&self, datagrams: impl IntoIterator<Item = Vec<u8>>) {
        for (count, datagram) in datagrams.into_iter().enumerate() {
            self.hostile.datagram(datagram).unwrap();
            if count % 16 == 15 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Does something, over and over, until it was refused so often for this reason.
    fn is_refused(&self, why: &str, times: u64, mut what: impl FnMut()) {
        let refused = || self.hall.count(&self.guest.name, &format!("/refusals/{why}"));
        let goal = refused() + times;
        becomes(why, || {
            what();
            refused() >= goal
        });
    }
}

fn forged(kid: Kid, counter: u64) -> Vec<u8> {
    Hostile::packed(&[Hostile::forged(kid, counter)])
}

#[test]
fn datagrams_that_should_not_be_are_counted_and_harm_nobody() {
    let hall = Hall::new(&[]);
    let witnesses = Witnesses::talk(&hall);
    let quiet = witnesses.during(nothing);
    let guest = hall.enter("mallory", Kind::Quic);
    let mallory = Mallory::new(&hall, &guest);
    let victim = witnesses.guests[0].number();
    let mut random = Random::seeded("every datagram length");
    let part = witnesses.during(|| {
        // The key of somebody else, and of nobody.
        mallory.is_refused("other_sender", 150, || {
            mallory.send((0..100).map(|n| forged(Kid { participant: victim, ..mallory.kid(Channel::Voice) }, n)));
            let nobody = Participant(40_000);
            mallory.send((0..100).map(|n| forged(Kid { participant: nobody, ..mallory.kid(Channel::Pose) }, n)));
        });
        mallory.is_refused("other_channel", 80, || {
            for channel in [Channel::Event, Channel::Screen] {
                mallory.send((0..50).map(|n| forged(mallory.kid(channel), n)));
            }
        });
        // The same again, alone and twice in a datagram.
        mallory.is_refused("replayed", 80, || {
            let frame = mallory.frame();
            mallory.send((0..50).map(|_| Hostile::packed(&[frame.clone(), frame.clone()])));
        });
        mallory.is_refused("future_epoch", 80, || {
            let later = |n: u32| Kid { epoch: Epoch(mallory.epoch().0 + n * n), ..mallory.kid(Channel::Voice) };
            mallory.send((1..=100).map(|n| forged(later(n), u64::from(n))));
        });
        let (kept, old) = (mallory.frame(), mallory.epoch());
        hall.act(&["rotate"]);
        becomes("keys changed", || mallory.epoch() > old);
        mallory.is_refused("stale_epoch", 1, || {
            // Taken for a while, as the first of its counter.
            std::thread::sleep(Duration::from_millis(100));
            mallory.send([Hostile::packed(std::slice::from_ref(&kept))]);
        });
        // Ten times what the channel takes.
        mallory.is_refused("rate", 500, || mallory.send((0..1_200).map(|_| mallory.word())));
        let longest = mallory.hostile.session().max_datagram_size().min(DATAGRAM_MAX);
        assert!(longest > 1_000, "{longest}");
        mallory.is_refused("malformed", 1_000, || {
            let mut bytes = |length| (0..length).map(|_| random.draw().to_le_bytes()[0]).collect();
            mallory.send((0..=longest).map(&mut bytes));
        });
    });
    assert_eq!(guest.ended(), None, "nothing of this ends the carrier");
    assert_eq!(guest.heard(|heard| heard.entries.len()), 1);
    witnesses.are_unharmed(&hall, "datagrams", &quiet, &part);
    // What was refused reached nobody: all that anybody heard of it opened.
    let before = witnesses.guests[0].count(guest.number(), Channel::Voice);
    becomes("mallory is heard again", || {
        mallory.send([mallory.word()]);
        witnesses.guests[0].count(guest.number(), Channel::Voice) > before
    });
    witnesses.quiet.store(true, Ordering::Relaxed);
}

fn message(said: Said) -> Vec<u8> {
    control::encode(&ClientMessage::from(said)).unwrap()
}

#[test]
fn streams_that_should_not_be_end_their_carrier_by_name_and_harm_nobody() {
    let hall = Hall::new(&[]);
    let witnesses = Witnesses::talk(&hall);
    let quiet = witnesses.during(nothing);
    let credential = hall.credential("mallory", "user");
    let mut random = Random::seeded("control messages");
    let join = |name: &str| {
        let guest = hall.try_join(name, hall.account(&credential), Kind::Quic).unwrap();
        becomes("there are keys", || guest.participant.epoch().is_some());
        guest
    };
    let part = witnesses.during(|| {
        // Some bytes in thirty are a frame of somebody else, which is refused and ends nothing.
        let any = || (0..200).map(|_| random.draw().to_le_bytes()[0]).collect::<Vec<_>>();
        let garbage = std::iter::repeat_with(any).find(|bytes| Frame::decode(bytes).is_err()).unwrap();
        let event = |frame: Vec<u8>| [&u16::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat();
        type Deed<'d> = Box<dyn Fn(&Mallory<'_>) + 'd>;
        let say = |bytes: Vec<u8>| Box::new(move |one: &Mallory<'_>| one.hostile.control(bytes.clone()).unwrap());
        let uni = |bytes: Vec<u8>| {
            let hall = &hall;
            Box::new(move |one: &Mallory<'_>| {
                // Who reads it may have ended it before all is written.
                drop(hall.runtime.block_on(one.hostile.stream(&bytes)));
            })
        };
        let first = Join { version: 1, ..Join::default() };
        let deeds: Vec<(&str, CloseCode, Deed<'_>)> = vec![
            ("no message", CloseCode::Malformed, say(vec![5, 0xff, 0xff, 0xff, 0xff, 0xff])),
            ("a message without a body", CloseCode::Malformed, say(vec![0])),
            ("a length without end", CloseCode::TooLarge, say(vec![0xff; 16])),
            ("a length beyond all", CloseCode::TooLarge, say(length(MESSAGE_MAX + 1))),
            ("Join once more", CloseCode::Unexpected, say(message(Said::Join(first)))),
            ("a thousand messages", CloseCode::TooMany, say(message(Said::Ping(Ping { token: 1 })).repeat(1_000))),
            ("a stream of no kind", CloseCode::Malformed, uni(vec![0x77])),
            ("a control stream too many", CloseCode::Unexpected, uni(vec![StreamKind::Control.number()])),
            (
                "a screen frame of 2 GiB",
                CloseCode::TooLarge,
                uni(vec![StreamKind::Screen.number(), 0x7f, 0xff, 0xff, 0xff]),
            ),
            (
                "no screen frame",
                CloseCode::Malformed,
                uni([&[StreamKind::Screen.number(), 0, 0, 0, 200][..], &garbage].concat()),
            ),
            ("an event of any bytes", CloseCode::Malformed, {
                let record = event(garbage.clone());
                Box::new(move |one: &Mallory<'_>| one.hostile.events(record.clone()).unwrap())
            }),
        ];
        for (what, code, deed) in deeds {
            let guest = join("mallory");
            deed(&Mallory::new(&hall, &guest));
            becomes(what, || guest.ended().is_some());
            assert_eq!(guest.ended(), Some(code), "{what}");
        }
        // Any bytes on the control stream: refused by some name, and nobody else notices.
        for _ in 0..10 {
            let guest = join("mallory");
            let bytes: Vec<u8> = (0..64).map(|_| random.draw().to_le_bytes()[0]).collect();
            let one = Mallory::new(&hall, &guest);
            becomes("any bytes end it", || {
                let _ = one.hostile.control(bytes.clone());
                guest.ended().is_some()
            });
        }
    });
    witnesses.are_unharmed(&hall, "streams", &quiet, &part);
    // A Ready that nobody asked for means nothing.
    let guest = join("mallory");
    Mallory::new(&hall, &guest).hostile.control(message(Said::Ready(Ready { epoch: u32::MAX }))).unwrap();
    assert_eq!(guest.ended(), None);
    witnesses.quiet.store(true, Ordering::Relaxed);
}

/// A protobuf varint.
fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn who_does_not_read_is_closed_and_the_others_wait_for_nobody() {
    let hall = Hall::new(&[]);
    let witnesses = Witnesses::talk(&hall);
    let quiet = witnesses.during(nothing);
    let credential = hall.credential("mallory", "user");
    let deaf = deaf(&hall, &credential);
    let [ada, bob] = &witnesses.guests;
    let large = vec![0x55; EVENT_MAX];
    let heard = || bob.count(ada.number(), Channel::Event);
    let mut sent = 0;
    let part = witnesses.during(|| {
        becomes("the deaf one is closed", || {
            sent += usize::from(ada.participant.send_event(&large).is_ok());
            deaf.close_reason().is_some()
        });
    });
    let end = carrier::ending(&deaf);
    assert!(matches!(end, conclave::client::ClientError::Closed(CloseCode::SlowReader)), "{end}");
    becomes("bob has heard every event", || heard() == sent);
    witnesses.are_unharmed(&hall, "a slow reader", &quiet, &part);
    witnesses.quiet.store(true, Ordering::Relaxed);
}

/// Shows a ticket with a key at the relay.
pub async fn knock(hall: &Hall, ticket: &str, key: [u8; 32]) -> (Session, SendStream, RecvStream) {
    let session = hall.connect(Kind::Quic).await;
    let (mut send, receive) = session.open_bi().await.unwrap();
    let join = Join { version: 1, ticket: ticket.to_owned(), key: key.to_vec(), avatar: Vec::new() };
    let first = [vec![StreamKind::Control.number()], message(Said::Join(join))].concat();
    send.write_all(&first).await.unwrap();
    (session, send, receive)
}

/// Somebody who joins, opens its event stream, and reads nothing at all.
fn deaf(hall: &Hall, credential: &Credential) -> Session {
    let mut account = hall.account(credential);
    hall.runtime.block_on(async {
        let ticket = account.ticket("lobby").await.unwrap();
        let (session, send, mut receive) = knock(hall, &ticket.token, ticket.pair.public_key()).await;
        // It is in when it is told something.
        receive.read_chunk(1, true).await.unwrap().unwrap();
        let (mut events, unread) = session.open_bi().await.unwrap();
        events.write_all(&[StreamKind::Event.number()]).await.unwrap();
        // They stay open.
        std::mem::forget((send, receive, events, unread));
        session
    })
}

#[test]
fn a_ticket_joins_with_the_key_it_names_and_no_other() {
    let hall = Hall::new(&[]);
    let mut account = hall.account(&hall.credential("mallory", "user"));
    hall.runtime.block_on(async {
        let (ticket, other) = (account.ticket("lobby").await.unwrap(), account.ticket("lobby").await.unwrap());
        let refused = async |key: [u8; 32]| {
            let (session, _send, _receive) = knock(&hall, &ticket.token, key).await;
            timeout(PATIENCE, session.closed()).await.expect("it is refused");
            carrier::ending(&session).to_string()
        };
        assert_eq!(refused(other.pair.public_key()).await, CloseCode::KeyRefused.meaning());
        // Who stole a ticket without its key cannot use it up either.
        let (_session, _send, mut receive) = knock(&hall, &ticket.token, ticket.pair.public_key()).await;
        let told = timeout(PATIENCE, receive.read_chunk(1, true)).await.expect("the right key joins");
        assert!(told.unwrap().is_some());
        // Once.
        assert_eq!(refused(ticket.pair.public_key()).await, CloseCode::TicketRefused.meaning());
    });
}

#[test]
fn who_was_kicked_and_sends_on_is_heard_by_nobody() {
    let hall = Hall::new(&[]);
    let witnesses = Witnesses::talk(&hall);
    let quiet = witnesses.during(nothing);
    let guest = hall.enter("mallory", Kind::Quic);
    let mallory = Mallory::new(&hall, &guest);
    let number = guest.number();
    let part = witnesses.during(|| {
        let heard = || witnesses.guests.each_ref().map(|one| one.count(number, Channel::Voice));
        becomes("mallory is heard", || {
            mallory.send([mallory.word()]);
            heard().iter().all(|count| *count > 0)
        });
        // It seals as fast as it can, before, while and after it is removed, and does not look at what it is told.
        let words: Vec<_> = (0..50).map(|_| mallory.word()).collect();
        hall.act(&["kick", &number.0.to_string()]);
        let told = |one: &Guest| {
            let gone = |roster: &conclave::wire::control::schema::Roster| {
                roster.gone.iter().any(|gone| gone.participant == u32::from(number.0))
            };
            one.heard(|heard| heard.rosters.iter().any(gone))
        };
        becomes("the others are told", || witnesses.guests.iter().all(|one| told(one)));
        let before = heard();
        for word in words.iter().cycle().take(500) {
            let _ = mallory.hostile.datagram(word.clone());
        }
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(heard(), before);
        becomes("who was removed knows it", || guest.ended() == Some(CloseCode::Kicked));
    });
    witnesses.are_unharmed(&hall, "a kicked one", &quiet, &part);
    witnesses.quiet.store(true, Ordering::Relaxed);
}
