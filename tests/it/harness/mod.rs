// SPDX-License-Identifier: AGPL-3.0-or-later
//! Runs the real binary: a temporary directory, port 0, and clients that speak to it as anybody would.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub mod http;

use http::{Answer, Connection};
use rustls::ClientConfig;
use std::sync::Arc;

/// How long anything may take before a test gives up. Not a claim about speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_conclave");

/// A running appliance.
pub struct Appliance {
    child: Option<Child>,
    pub dir: TempDir,
    pub address: SocketAddr,
    /// Where it is to listen.
    listen: SocketAddr,
    arguments: Vec<String>,
    wrapper: Vec<String>,
}

impl Appliance {
    /// A fresh, unclaimed appliance with cheap password hashing.
    pub fn start() -> Self {
        Self::start_with(&["--test-cheap-passwords"])
    }

    /// A fresh, unclaimed appliance with these extra arguments of `serve`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::start_in(dir, arguments)
    }

    /// An appliance on the files in `dir/data`.
    pub fn start_in(dir: TempDir, arguments: &[&str]) -> Self {
        Self::start_wrapped(dir, &[], arguments)
    }

    /// An appliance run by another program, which must stay out of the way of its signals.
    pub fn start_wrapped(dir: TempDir, wrapper: &[&str], arguments: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let (arguments, wrapper) = (owned(arguments), owned(wrapper));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut appliance = Self { child: None, dir, address: listen, listen, arguments, wrapper };
        appliance.spawn();
        appliance
    }

    /// An appliance that may refuse to start: then with its exit code and what it said.
    pub fn try_start(dir: TempDir, arguments: &[&str]) -> (Self, (i32, String)) {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut appliance = Self { child: None, dir, address: listen, listen, arguments, wrapper: Vec::new() };
        let refusal = appliance.try_spawn().err();
        (appliance, refusal.unwrap_or_default())
    }

    /// A claimed appliance (names `localhost`, networks loopback) with the workspace `demo`.
    pub fn claimed() -> Self {
        Self::claimed_with(&["--test-cheap-passwords"])
    }

    /// The same, with these arguments of `serve`.
    pub fn claimed_with(arguments: &[&str]) -> Self {
        let appliance = Self::start_with(arguments);
        appliance.claim();
        appliance.workspace("demo");
        appliance
    }

    fn command(&self) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(BINARY);
                command
            }
            None => Command::new(BINARY),
        };
        command.args(["serve", "--log-format", "text", "--data-dir"]).arg(self.data_dir());
        command.args(["--listen", &self.listen.to_string(), "--admin-socket"]).arg(self.admin_socket());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts on the stopped appliance's files and kills it after `alive_for`, ready or not.
    pub fn start_and_kill(&self, alive_for: Duration) {
        assert!(self.child.is_none(), "stop it first");
        let mut child = self.command().stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(alive_for);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts on the stopped appliance's files, which must be refused; answers exit code and standard error.
    pub fn refused_start(&self) -> (i32, String) {
        assert!(self.child.is_none(), "stop it first");
        let log = tempfile::tempfile().unwrap();
        let mut child = self.command().stderr(log.try_clone().unwrap()).spawn().unwrap();
        let status = wait(&mut child);
        let mut text = String::new();
        let mut log = log;
        log.seek(SeekFrom::Start(0)).unwrap();
        log.read_to_string(&mut text).unwrap();
        (status.code().unwrap_or(-1), text)
    }

    fn spawn(&mut self) {
        if let Err((code, said)) = self.try_spawn() {
            panic!("the appliance ended with {code}:\n{said}");
        }
    }

    fn try_spawn(&mut self) -> Result<(), (i32, String)> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let begin = log.metadata().unwrap().len();
        self.child = Some(self.command().stderr(log).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = fs::read_to_string(self.log_file()).unwrap();
            let new = &log[usize::try_from(begin).unwrap()..];
            if let Some(line) = new.lines().find(|line| line.contains("serving https.addresses=")) {
                let address = line.split('[').nth(1).and_then(|rest| rest.split([',', ']']).next());
                self.address = address.unwrap().parse().unwrap();
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                let said = fs::read_to_string(self.log_file()).unwrap();
                return Err((status.code().unwrap_or(-1), said[usize::try_from(begin).unwrap()..].to_owned()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the appliance does not serve");
    }

    /// Starts again after [`Appliance::kill`] or [`Appliance::stop`].
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "stop it first");
        self.spawn();
    }

    /// Starts again, run by another program, which must stay out of the way of its signals.
    pub fn restart_wrapped(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(ToString::to_string).collect();
        self.restart();
    }

    /// Starts again with these arguments of `serve`.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self.restart();
    }

    /// Starts again on all addresses of this machine.
    pub fn restart_on_all(&mut self) {
        self.listen = SocketAddr::from(([0, 0, 0, 0], 0));
        self.restart();
    }

    /// Starts again at the address it had, for clients that come back.
    pub fn restart_where_it_was(&mut self) {
        self.listen = self.address;
        self.restart();
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        self.ended()
    }

    /// Waits for the end that something else brings about.
    pub fn ended(&mut self) -> ExitStatus {
        wait(&mut self.child.take().unwrap())
    }

    /// SIGTERM, and waits for the end, which must be a good one: every file closed.
    pub fn stop_well(&mut self) {
        let status = self.stop();
        assert!(status.success(), "the appliance ended with {status}");
        let logs = files_below(&self.data_dir(), "-wal");
        assert!(logs.is_empty(), "a clean stop left {logs:?} behind");
    }

    /// Runs the command line against this appliance.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.arg("--admin-socket").arg(self.admin_socket()).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs the command line, which must succeed, and answers what it printed.
    pub fn cli_ok(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out
    }

    /// Runs the command line with `--json`.
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.cli_ok(&[&["--json"], arguments].concat())).unwrap()
    }

    /// Claims it; answers the operator's password.
    pub fn claim(&self) -> String {
        let networks = ["--network", "127.0.0.0/8", "--network", "::1/128"];
        let setup = ["setup", "claim", "--name", "localhost", "--operator", "root-operator", "--without-recovery-kit"];
        let done = self.cli_json(&[&setup[..], &networks[..]].concat());
        done["initial_password"].as_str().unwrap().to_owned()
    }

    /// Makes a workspace that people can use.
    pub fn workspace(&self, name: &str) -> String {
        self.cli_ok(&["workspace", "create", name, "--agreement-accepted-by", "Tess Ter"])
    }

    /// Makes an account and answers its password.
    pub fn account(&self, workspace: &str, name: &str, role: &str) -> String {
        let made = self.cli_json(&["account", "create", "--workspace", workspace, name, "--role", role]);
        made["initial_password"].as_str().unwrap().to_owned()
    }

    /// The id of a workspace.
    pub fn workspace_id(&self, name: &str) -> String {
        self.cli_json(&["workspace", "show", name])["id"].as_str().unwrap().to_owned()
    }

    /// One request over the admin socket.
    pub fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        Connection::unix(&self.admin_socket()).json(method, path, &[], body)
    }

    /// One request over HTTPS, on a connection of its own.
    pub fn https(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        self.connect().json(method, path, headers, body)
    }

    /// One request with an access token.
    pub fn with_token(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.https(method, path, &[("authorization", &format!("Bearer {token}"))], body)
    }

    /// A TLS connection to `localhost`, verified against the appliance's own root.
    pub fn connect(&self) -> Connection {
        Connection::tls(self.address, "localhost", &self.root_pem())
    }

    /// A client that trusts this appliance, for connections that outlive one request or come in crowds.
    pub fn client(&self) -> Client {
        let config = http::client_config(&self.root_pem());
        Client { address: self.address, origin: self.origin(), config }
    }

    /// The root certificate, as the admin socket gives it; empty before the claim.
    pub fn root_pem(&self) -> String {
        let answer = Connection::unix(&self.admin_socket()).json("GET", "/api/v1/trust", &[], None);
        answer.json()["root_pem"].as_str().unwrap_or_default().to_owned()
    }

    /// How a browser names this appliance.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// A sealed credential, as clients make it.
    pub fn seal(&self, plain: &Value) -> Value {
        self.seal_for(&self.origin(), plain)
    }

    /// A credential sealed for some origin.
    pub fn seal_for(&self, origin: &str, plain: &Value) -> Value {
        http::seal(&self.admin("GET", "/api/v1/sign-in", None).json(), origin, plain)
    }

    /// Tries to sign in with a sealed credential.
    pub fn try_sign_in(&self, workspace: &str, name: &str, password: &str) -> Answer {
        let sealed = self.seal(&json!({ "workspace": workspace, "user_name": name, "password": password }));
        self.https("POST", "/api/v1/sessions", &[], Some(&json!({ "sealed": sealed, "device_name": "test device" })))
    }

    /// Signs in; answers the grant.
    pub fn sign_in(&self, workspace: &str, name: &str, password: &str) -> Value {
        let answer = self.try_sign_in(workspace, name, password);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// An account with its access token.
    pub fn signed_in(&self, workspace: &str, name: &str, role: &str) -> String {
        let password = self.account(workspace, name, role);
        self.sign_in(workspace, name, &password)["access_token"].as_str().unwrap().to_owned()
    }

    /// Moves the appliance's clock.
    pub fn advance(&self, by: Duration) {
        self.shift(i64::try_from(by.as_millis()).unwrap());
    }

    /// Moves the appliance's clock by milliseconds, backwards when negative.
    pub fn shift(&self, millis: i64) {
        let answer = self.admin("POST", "/test-hooks/clock", Some(&json!({ "millis": millis })));
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Holds the appliance's clock at a moment (milliseconds since the epoch), or lets it run again.
    pub fn hold(&self, at_millis: Option<i64>) {
        let answer = self.admin("POST", "/test-hooks/clock/hold", Some(&json!({ "at_millis": at_millis })));
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Has the appliance's clocks stand still where they are.
    pub fn hold_now(&self) {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        self.hold(Some(i64::try_from(now).unwrap()));
    }

    /// Does at once what the appliance does every few seconds.
    pub fn tick(&self) {
        let answer = self.admin("POST", "/test-hooks/tick", None);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- log of the appliance\n{}", fs::read_to_string(self.log_file()).unwrap_or_default());
        }
    }
}

/// What a client knows of an appliance; it can be given to other threads.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    origin: String,
    config: Arc<ClientConfig>,
}

impl Client {
    /// A TLS connection.
    pub fn connect(&self) -> Connection {
        Connection::tls_with(self.address, "localhost", &self.config)
    }

    /// The body of a sign-in, sealed to a fresh offer over this connection; nothing when the peer went away.
    pub fn sealed(&self, connection: &mut Connection, credential: [&str; 3]) -> Option<Value> {
        let offer = connection.exchange("GET", "/api/v1/sign-in", None)?;
        assert_eq!(offer.status, 200, "{}", offer.text());
        let [workspace, name, password] = credential;
        let plain = json!({ "workspace": workspace, "user_name": name, "password": password });
        let sealed = http::seal(&offer.json(), &self.origin, &plain);
        Some(json!({ "sealed": sealed, "device_name": "test device" }))
    }
}

/// A seeded generator (SplitMix64), so that a test which draws lots can be run again as it was.
pub struct Random(u64);

impl Random {
    /// From `$CONCLAVE_SEED`, or a fresh seed; printed, so that a failure shows it.
    pub fn seeded(test: &str) -> Self {
        let seed = match std::env::var("CONCLAVE_SEED") {
            Ok(seed) => seed.parse().expect("CONCLAVE_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_micros().try_into().unwrap(),
        };
        eprintln!("{test}: CONCLAVE_SEED={seed}");
        Self(seed)
    }

    /// With this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

/// Sends a signal to a process this test started.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for a process, with a bound.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "the process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a program of the machine that a test needs. With `CI=true` a missing one is a failure; so it is without.
pub fn tool(name: &str) -> Command {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap();
    assert!(found.status.success(), "{name} is not installed: `make setup-test` installs what the tests need");
    Command::new(name)
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `directory` whose name ends with `suffix`.
pub fn files_below(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") {
                open.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
