// SPDX-License-Identifier: AGPL-3.0-or-later
//! Nobody between can read, and nothing stays: what people say, show and do is searched in what the relay is handed and
//! hands out, in its memory, in every file and database, and in the log. Each search is shown to find what is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use conclave::client::carrier::Kind;
use conclave::client::hostile::Hostile;
use conclave::wire::frame::{AudioLevel, Clear, Frame};
use conclave::wire::kid::{Channel, Kid};
use conclave::wire::stream::{EventRecord, StreamKind, push_event_upstream};
use serde_json::json;
use tempfile::TempDir;

use crate::independent;
use crate::xr::hall::{Guest, Hall, becomes, settled};

/// One for each channel, in the order of [`Channel::ALL`].
fn markers(of: &str) -> [String; 4] {
    let fresh = format!("{:016x}", crate::harness::Random::seeded("markers").draw());
    Channel::ALL.map(|channel| format!("marker-{of}-{}-{fresh}", format!("{channel:?}").to_lowercase()))
}

/// A meeting under observation.
struct Watched {
    hall: Hall,
    dir: TempDir,
}

impl Watched {
    fn new() -> Self {
        let hall = Hall::with(&["--test-cheap-passwords", "--test-traceable", "--log-level", "trace"], &[]);
        let dir = tempfile::tempdir().unwrap();
        let opened = hall.appliance.admin("POST", "/test-hooks/tap", Some(&json!({ "directory": dir.path() })));
        assert_eq!(opened.status, 204, "{}", opened.text());
        Self { hall, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the relay has in its memory now.
    fn core(&self) -> PathBuf {
        let pid = self.hall.appliance.pid().to_string();
        let core = self.path("core");
        let made = Command::new("gcore").arg("-o").arg(&core).arg(&pid).output();
        let made = made.expect("gcore is there: `make setup-test` installs gdb");
        assert!(made.status.success(), "{made:?}");
        self.path(&format!("core.{pid}"))
    }

    /// The two databases, opened by the outsider's reader, with what is in their logs.
    fn databases(&self) -> Vec<PathBuf> {
        let data = self.hall.appliance.data_dir();
        let workspace = self.hall.appliance.workspace_id("demo");
        let open = |what: &str| {
            let out = self.path(&format!("{what}.db"));
            // The reader overwrites nothing.
            drop(std::fs::remove_file(&out));
            independent::read(&["open", data.to_str().unwrap(), what, "--out", out.to_str().unwrap()]);
            out
        };
        vec![open("system"), open(&workspace)]
    }

    /// Where something is found.
    fn finds(&self, text: &[u8], core: &Path, databases: &[PathBuf]) -> Vec<&'static str> {
        let (log, data) = (self.hall.appliance.log_file(), self.hall.appliance.data_dir());
        let (arrived, left) = (self.path("in"), self.path("out"));
        let mut places = vec![("in", &*arrived), ("out", &*left), ("core", core), ("files", &*data), ("log", &*log)];
        places.extend(databases.iter().map(|database| ("database", &**database)));
        places.retain(|(_, place)| holds(text, place));
        places.into_iter().map(|(name, _)| name).collect()
    }
}

/// Looks for bytes (in hexadecimal) in a file, or in any below a directory: ends with 0 when they are there, 3 when not.
const LOOK: &str = "
import mmap, os, sys
what, place = bytes.fromhex(sys.argv[1]), sys.argv[2]
paths = [os.path.join(below, name) for below, _, names in os.walk(place) for name in names]
for path in filter(os.path.isfile, paths or [place]):
    with open(path, 'rb') as file:
        if os.path.getsize(path) and mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).find(what) >= 0:
            sys.exit(0)
sys.exit(3)
";

/// Whether these bytes are in a file, or in any below a directory. Another program looks: it knows nothing of ours.
fn holds(what: &[u8], place: &Path) -> bool {
    let looked = Command::new("python3").args(["-c", LOOK, &hex::encode(what)]).arg(place).output().unwrap();
    match looked.status.code() {
        Some(0) => true,
        Some(3) => false,
        _ => panic!("{looked:?}"),
    }
}

/// Sends on every channel, sealed or not, until all of it was heard or, unsealed, arrived.
fn send(watched: &Watched, from: &Guest, to: &Guest, markers: &[String; 4], sealed: bool) -> Vec<Vec<u8>> {
    let hostile = from.participant.hostile().unwrap();
    let [pose, voice, event, screen] = markers.each_ref().map(String::as_bytes);
    let level = Clear::Level(AudioLevel::SILENCE);
    let kid = |channel| Kid { epoch: from.participant.epoch().unwrap(), participant: from.number(), channel };
    let frame = |channel, clear, plain: &[u8], counter| {
        if sealed {
            hostile.sealed(channel, clear, plain).unwrap()
        } else {
            Hostile::unsealed(kid(channel), counter, plain)
        }
    };
    let mut sent = Vec::new();
    let arrived = |channel| watched.hall.count(&to.name, &format!("/channels/{channel}/frames_out"));
    let goal = ["pose", "voice", "event", "screen"].map(|channel| arrived(channel) + 5);
    let mut counter = 0;
    becomes("everything went through", || {
        let frames = [
            frame(Channel::Pose, Clear::Nothing, pose, counter),
            frame(Channel::Voice, level, voice, counter),
            frame(Channel::Event, Clear::Nothing, event, counter),
            frame(Channel::Screen, Clear::Nothing, screen, counter),
        ];
        counter += 1;
        let [a_pose, a_voice, an_event, a_screen] = &frames;
        hostile.datagram(Hostile::packed(&[a_pose.clone(), a_voice.clone()])).unwrap();
        let mut record = Vec::new();
        push_event_upstream(&mut record, EventRecord::Event(Frame::decode(an_event).unwrap())).unwrap();
        hostile.events(record).unwrap();
        let length = u32::try_from(a_screen.len()).unwrap().to_be_bytes();
        let group = [&[StreamKind::Screen.number()], &length[..], a_screen].concat();
        watched.hall.runtime.block_on(async {
            let mut stream = hostile.stream(&group).await.unwrap();
            let _ = stream.finish();
        });
        sent.extend(frames);
        // Below what the channels take.
        std::thread::sleep(std::time::Duration::from_millis(150));
        ["pose", "voice", "event", "screen"].iter().zip(goal).all(|(channel, goal)| arrived(channel) >= goal)
    });
    sent
}

#[test]
fn nobody_between_can_read_and_nothing_stays() {
    let watched = Watched::new();
    let hall = &watched.hall;
    let markers = markers("sealed");
    let (ada, bob) = (hall.enter("ada", Kind::Quic), hall.enter("bob", Kind::WebTransport));
    settled(&[&ada, &bob]);
    let sent = send(&watched, &ada, &bob, &markers, true);
    // It was said: bob heard it, word for word.
    for (channel, marker) in Channel::ALL.into_iter().zip(&markers) {
        becomes(marker, || bob.from(&[ada.number()], channel).iter().any(|one| one.bytes == marker.as_bytes()));
    }
    // While the meeting lives, and when it is over.
    for over in [false, true] {
        if over {
            hall.act(&["end"]);
            becomes("the meeting is over", || {
                hall.appliance.cli_json(&["meeting", "list", "-w", "demo"])["meetings"] == json!([])
            });
            hall.appliance.tick();
        }
        let (core, databases) = (watched.core(), watched.databases());
        for marker in &markers {
            assert_eq!(
                watched.finds(marker.as_bytes(), &core, &databases),
                Vec::<&str>::new(),
                "{marker}, over: {over}"
            );
        }
        // The searches look where the frames are: sealed, they came in and went out.
        for frame in &sent[..4] {
            let found = watched.finds(frame, &core, &databases);
            assert!(found.contains(&"in") && found.contains(&"out"), "{found:?}");
            assert!(!["files", "log", "database"].iter().any(|place| found.contains(place)), "{found:?}");
        }
    }
}

#[test]
fn the_searches_find_what_is_there() {
    let watched = Watched::new();
    let hall = &watched.hall;
    let markers = markers("clear");
    let (ada, bob) = (hall.enter("ada", Kind::WebTransport), hall.enter("bob", Kind::Quic));
    settled(&[&ada, &bob]);
    // End-to-end encryption off: whoever is between can read.
    send(&watched, &ada, &bob, &markers, false);
    let (core, databases) = (watched.core(), watched.databases());
    for marker in &markers {
        let found = watched.finds(marker.as_bytes(), &core, &databases);
        assert!(found.starts_with(&["in", "out", "core"]) && found.len() == 3, "{marker}: {found:?}");
    }
    // A row that holds a marker, and a file, and a line of the log.
    let planted = format!("planted-{}", &markers[0][markers[0].len() - 16..]);
    hall.appliance.cli_ok(&["room", "create", "-w", "demo", &planted]);
    assert!(watched.finds(planted.as_bytes(), &core, &watched.databases()).contains(&"database"));
    std::fs::write(hall.appliance.data_dir().join("planted"), &planted).unwrap();
    assert!(watched.finds(planted.as_bytes(), &core, &databases).contains(&"files"));
    let meeting = hall.meeting()["id"].as_str().unwrap().to_owned();
    assert!(watched.finds(meeting.as_bytes(), &core, &databases).contains(&"log"));
}
