// SPDX-License-Identifier: AGPL-3.0-or-later
//! A bad network on loopback: a UDP relay in a thread of its own that loses, delays, reorders, duplicates and throttles
//! what passes, from a seed.
//!
//! Each client address gets an upstream socket of its own, so the server sees as many clients as there are. Both
//! directions suffer alike and apart. What waits is bounded. It stops when it is dropped. Conditions are read anew for
//! each datagram, so they can change while it runs. Knows nothing of what it carries.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::socket;
use crate::platform::clock::Clock;
use crate::values::time::Moment;

/// Datagrams that wait at once; more are dropped, as a router with a full queue does.
const WAITING_MAX: usize = 16_384;
/// Longest that a datagram waits for the rate of its link; later ones are dropped.
const BACKLOG_MAX: Duration = Duration::from_millis(500);
/// Client addresses at once; further ones are not served.
const CLIENTS_MAX: usize = 1_024;
/// Datagrams read from one socket before the others get their turn.
const READ_BUDGET: usize = 64;
/// Longest sleep, so that stopping takes no longer.
const LOOK_UP: Duration = Duration::from_millis(20);
/// How much longer a datagram travels that others are to overtake.
const HELD_BACK: Duration = Duration::from_millis(10);
/// Longest UDP payload.
const PAYLOAD_MAX: usize = 65_535;

/// What happens to datagrams, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// Share that is lost, 0 to 1.
    pub loss: f64,
    /// How long all of them take.
    pub delay: Duration,
    /// How much longer some take, at most; spread evenly. More than the distance of two datagrams reorders them.
    pub jitter: Duration,
    /// Share that is held back 10 ms, so that later ones overtake it, 0 to 1.
    pub reorder: f64,
    /// Share that arrives twice, 0 to 1.
    pub duplicate: f64,
    /// Bytes a second of all clients together; `None`: as many as come.
    pub rate: Option<u64>,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that arrived here, from both sides.
    pub arrived: u64,
    /// Datagrams dropped on purpose or for want of room.
    pub dropped: u64,
}

/// A running bad network.
#[derive(Debug)]
pub struct Netem {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    conditions: Mutex<Conditions>,
    blackhole: AtomicBool,
    stop: AtomicBool,
    arrived: AtomicU64,
    dropped: AtomicU64,
}

impl Netem {
    /// A network in front of `upstream`. The same seed decides the same about the same sequence of datagrams.
    ///
    /// # Errors
    /// When the system has no socket or thread.
    pub fn start(upstream: SocketAddr, conditions: Conditions, seed: u64) -> io::Result<Self> {
        let front = socket::beside(upstream)?;
        front.set_nonblocking(true)?;
        let address = front.local_addr()?;
        let shared = Arc::new(Shared {
            conditions: Mutex::new(conditions),
            blackhole: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            arrived: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let network = Network {
            upstream,
            front,
            clients: Vec::new(),
            waiting: BinaryHeap::new(),
            links: [Moment::after_origin(Duration::ZERO); 2],
            sequence: 0,
            chance: Chance(seed),
            clock: Clock::system(),
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("netem".to_owned()).spawn(move || network.run())?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where clients connect instead of to the server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it is like this. What waits already arrives as it would have.
    pub fn set(&self, conditions: Conditions) {
        *self.shared.conditions.lock().unwrap_or_else(PoisonError::into_inner) = conditions;
    }

    /// Nothing passes any more.
    pub fn blackhole(&self) {
        self.shared.blackhole.store(true, Ordering::Relaxed);
    }

    /// Passes again, under the same conditions as before.
    pub fn restore(&self) {
        self.shared.blackhole.store(false, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            arrived: self.shared.arrived.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Netem {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic was printed where it happened; there is nothing to save here.
            drop(thread.join());
        }
    }
}

/// Decisions from a seed (SplitMix64, public domain).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// Evenly spread from 0 to below 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The upper 53 bits, which a float holds exactly.
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

/// Which way, and for which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Up(usize),
    Down(usize),
}

/// A datagram under way. The earliest first, then in order of arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Moment,
    sequence: u64,
    way: Way,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    upstream: UdpSocket,
}

/// The thread's own.
struct Network {
    upstream: SocketAddr,
    front: UdpSocket,
    clients: Vec<Client>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// When each direction is done with what it took on.
    links: [Moment; 2],
    sequence: u64,
    chance: Chance,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Network {
    fn run(mut self) {
        let mut buffer = vec![0; PAYLOAD_MAX];
        while !self.shared.stop.load(Ordering::Relaxed) {
            let sleep = self.deliver().min(LOOK_UP);
            for readable in self.wait(sleep) {
                self.read(readable, &mut buffer);
            }
        }
    }

    /// Sends what is due, and says how long until the next is.
    fn deliver(&mut self) -> Duration {
        loop {
            let now = self.clock.moment();
            match self.waiting.peek() {
                None => return LOOK_UP,
                Some(Reverse(first)) if first.due > now => return first.due.since(now),
                Some(_) => {}
            }
            let Some(Reverse(Waiting { way, bytes, .. })) = self.waiting.pop() else { return LOOK_UP };
            // A full socket or a receiver that is gone loses it, as networks do.
            let _ = match way {
                Way::Up(client) => self.clients.get(client).map(|client| client.upstream.send(&bytes)),
                Way::Down(client) => self.clients.get(client).map(|client| self.front.send_to(&bytes, client.address)),
            };
        }
    }

    /// Sleeps until something arrives, and says at which sockets: none is the front.
    fn wait(&self, sleep: Duration) -> Vec<Option<usize>> {
        let sockets = std::iter::once(&self.front).chain(self.clients.iter().map(|client| &client.upstream));
        let mut polled: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let timeout = Timespec::try_from(sleep).unwrap_or_default();
        if poll(&mut polled, Some(&timeout)).is_err() {
            // Interrupted by a signal: look again.
            return Vec::new();
        }
        let ready = polled.iter().enumerate().filter(|(_, socket)| !socket.revents().is_empty());
        ready.map(|(place, _)| place.checked_sub(1)).collect()
    }

    fn read(&mut self, from: Option<usize>, buffer: &mut [u8]) {
        for _ in 0..READ_BUDGET {
            let (way, length) = match from {
                None => {
                    let Ok((length, address)) = self.front.recv_from(buffer) else { return };
                    let Some(client) = self.client(address) else { continue };
                    (Way::Up(client), length)
                }
                Some(client) => {
                    let Some(Ok(length)) = self.clients.get(client).map(|client| client.upstream.recv(buffer)) else {
                        return;
                    };
                    (Way::Down(client), length)
                }
            };
            self.shared.arrived.fetch_add(1, Ordering::Relaxed);
            self.decide(way, buffer.get(..length).unwrap_or_default());
        }
    }

    /// The client with this address; a new one gets a socket.
    fn client(&mut self, address: SocketAddr) -> Option<usize> {
        if let Some(place) = self.clients.iter().position(|client| client.address == address) {
            return Some(place);
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        let upstream = socket::beside(self.upstream).ok()?;
        upstream.connect(self.upstream).ok()?;
        upstream.set_nonblocking(true).ok()?;
        self.clients.push(Client { address, upstream });
        Some(self.clients.len() - 1)
    }

    fn decide(&mut self, way: Way, bytes: &[u8]) {
        let conditions = *self.shared.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.blackhole.load(Ordering::Relaxed) || self.chance.happens(conditions.loss) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let copies = if self.chance.happens(conditions.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let now = self.clock.moment();
            let Some(sent) = self.through_link(way, bytes.len(), conditions.rate, now) else {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let jitter = conditions.jitter.mul_f64(self.chance.share());
            let held = if self.chance.happens(conditions.reorder) { HELD_BACK } else { Duration::ZERO };
            self.enqueue(Waiting {
                due: sent + conditions.delay + jitter + held,
                sequence: self.sequence,
                way,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// When the link is done with a datagram of this size; `None` when too much waits for it.
    fn through_link(&mut self, way: Way, size: usize, rate: Option<u64>, now: Moment) -> Option<Moment> {
        let Some(rate) = rate.filter(|rate| *rate > 0) else { return Some(now) };
        let [up, down] = &mut self.links;
        let free = if matches!(way, Way::Up(_)) { up } else { down };
        let begins = now.max(*free);
        if begins.since(now) > BACKLOG_MAX {
            return None;
        }
        *free = begins + Duration::from_secs_f64(size as f64 / rate as f64);
        Some(*free)
    }

    fn enqueue(&mut self, datagram: Waiting) {
        if self.waiting.len() >= WAITING_MAX {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.sequence += 1;
        self.waiting.push(Reverse(datagram));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a test waits for a datagram before it gives up. Not a claim about speed.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// How long nothing may arrive before it counts as lost.
    const SILENCE: Duration = Duration::from_millis(300);

    /// A client and a server with a network between.
    struct Pair {
        netem: Netem,
        client: UdpSocket,
        server: UdpSocket,
    }

    impl Pair {
        fn with(conditions: Conditions) -> Self {
            let server = socket::on_loopback().unwrap();
            let netem = Netem::start(server.local_addr().unwrap(), conditions, 7).unwrap();
            let client = socket::on_loopback().unwrap();
            client.connect(netem.address()).unwrap();
            for socket in [&client, &server] {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
            }
            Self { netem, client, server }
        }

        fn send(&self, numbers: impl IntoIterator<Item = u32>) {
            for number in numbers {
                self.client.send(&number.to_be_bytes()).unwrap();
            }
        }

        /// Numbers as they arrive, until `count` are there, or nothing more comes.
        fn arrived(&self, count: usize) -> Vec<u32> {
            self.server.set_read_timeout(Some(if count == usize::MAX { SILENCE } else { PATIENCE })).unwrap();
            let mut numbers = Vec::new();
            let mut buffer = [0; 4];
            while numbers.len() < count && self.server.recv(&mut buffer).is_ok() {
                numbers.push(u32::from_be_bytes(buffer));
            }
            numbers
        }
    }

    #[test]
    fn a_good_network_passes_everything_in_order_and_back() {
        let pair = Pair::with(Conditions::default());
        pair.send(0..200);
        assert_eq!(pair.arrived(200), (0..200).collect::<Vec<_>>());
        pair.send([7]);
        let mut buffer = [0; 8];
        let (_, behind) = pair.server.recv_from(&mut buffer).unwrap();
        pair.server.send_to(b"back", behind).unwrap();
        let length = pair.client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"back");
        assert_eq!(pair.netem.counts(), Counts { arrived: 202, dropped: 0 });
    }

    #[test]
    fn every_client_has_an_address_of_its_own_upstream() {
        let pair = Pair::with(Conditions::default());
        let other = socket::on_loopback().unwrap();
        other.connect(pair.netem.address()).unwrap();
        other.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 8];
        let mut seen = Vec::new();
        for (from, name) in [(&pair.client, b"one"), (&other, b"two")] {
            from.send(name).unwrap();
            let (_, address) = pair.server.recv_from(&mut buffer).unwrap();
            seen.push(address);
            pair.server.send_to(name, address).unwrap();
            assert_eq!(from.recv(&mut buffer).unwrap(), 3);
            assert_eq!(&buffer[..3], name);
        }
        assert_ne!(seen[0], seen[1]);
    }

    #[test]
    fn the_asked_share_is_lost_and_the_same_seed_loses_the_same() {
        let lossy = Conditions { loss: 0.3, ..Conditions::default() };
        let [one, other] = [(); 2].map(|()| {
            let pair = Pair::with(lossy);
            pair.send(0..500);
            pair.arrived(usize::MAX)
        });
        assert!((250..450).contains(&one.len()), "{}", one.len());
        assert_eq!(one, other);
    }

    #[test]
    fn nothing_is_earlier_than_the_delay() {
        let delay = Duration::from_millis(40);
        let pair = Pair::with(Conditions { delay, ..Conditions::default() });
        let clock = Clock::system();
        let sent = clock.moment();
        pair.send([1]);
        assert_eq!(pair.arrived(1), [1]);
        assert!(clock.moment().since(sent) >= delay);
    }

    #[test]
    fn datagrams_are_overtaken_and_doubled() {
        let pair = Pair::with(Conditions { reorder: 0.2, duplicate: 0.2, ..Conditions::default() });
        pair.send(0..200);
        let arrived = pair.arrived(usize::MAX);
        assert!(arrived.len() > 210 && !arrived.is_sorted(), "{}", arrived.len());
        let mut distinct = arrived;
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn a_rate_takes_its_time_and_what_waits_for_it_is_bounded() {
        // 4 bytes each at 4,000 bytes a second: one in a millisecond, so 500 ms of backlog are 500 datagrams.
        let pair = Pair::with(Conditions { rate: Some(4_000), ..Conditions::default() });
        let clock = Clock::system();
        let began = clock.moment();
        pair.send(0..2_000);
        let arrived = pair.arrived(usize::MAX);
        assert!(arrived.len() < 2_000 && pair.netem.counts().dropped > 0, "{}", arrived.len());
        assert!(clock.moment().since(began) >= Duration::from_millis(400));
    }

    #[test]
    fn a_black_hole_swallows_all_and_conditions_change_while_it_runs() {
        let pair = Pair::with(Conditions::default());
        pair.netem.blackhole();
        pair.send(0..10);
        assert!(pair.arrived(usize::MAX).is_empty());
        pair.netem.restore();
        pair.send([11]);
        assert_eq!(pair.arrived(1), [11]);
        pair.netem.set(Conditions { loss: 1.0, ..Conditions::default() });
        pair.send([12]);
        assert!(pair.arrived(usize::MAX).is_empty());
    }

    #[test]
    fn dropping_it_stops_its_thread() {
        let pair = Pair::with(Conditions::default());
        let shared = Arc::downgrade(&pair.netem.shared);
        drop(pair.netem);
        assert_eq!(shared.strong_count(), 0);
    }
}
