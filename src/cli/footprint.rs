// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave footprint`: what an appliance takes of a machine that does nothing with it: time to start, memory,
//! descriptors, by how many workspaces it has.
//!
//! The files are made here, through the store, because a hundred thousand accounts by way of the API are a hundred
//! thousand password hashes. The appliance that is measured is this program again, on those files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::api::types::workspaces::WorkspaceList;
use crate::cli::client::{Client, ClientError};
use crate::cli::exit::Failure;
use crate::cli::output::{Output, table};
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Permissions, Role, Roles};
use crate::core::workspace::Life;
use crate::lifecycle::LifecycleError;
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::error::StoreError;
use crate::platform::store::files::{self, Layout};
use crate::platform::store::registry::{Entry, NameTaken};
use crate::platform::store::workspace::Write;
use crate::platform::store::{Limits, Store};
use crate::values::id::{AccountId, RequestId};
use crate::values::name::Label;
use crate::values::time::Timestamp;

/// How long an appliance may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it does nothing before it is looked at: upkeep and watch have run.
const IDLE: Duration = Duration::from_secs(12);
/// A hash that no password fits.
const NO_PASSWORD: &str = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Measure what an idle appliance takes.
#[derive(Debug, Args)]
#[command(after_help = "Example: conclave footprint --workspaces 0,10,1000 --accounts 100")]
pub struct Footprint {
    /// How many workspaces; may be several numbers
    #[arg(long, value_delimiter = ',', value_name = "N", default_value = "0,10,1000")]
    workspaces: Vec<usize>,
    /// Accounts in each
    #[arg(long, value_name = "N", default_value_t = 100)]
    accounts: usize,
    /// How often each start is timed
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
}

/// What was seen.
#[derive(Debug, Serialize)]
struct Seen {
    workspaces: usize,
    accounts: usize,
    /// From the start of the process to its first answer, the median.
    start_ms: f64,
    idle: Taken,
    /// After somebody looked into every workspace.
    after_use: Taken,
    /// Bytes of all files.
    data_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Taken {
    resident_kib: u64,
    descriptors: usize,
}

/// Runs the command.
pub fn run(footprint: &Footprint, output: Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut seen = Vec::new();
    for workspaces in &footprint.workspaces {
        seen.push(runtime.block_on(footprint.measure(*workspaces))?);
    }
    Ok(output.print(&seen, |seen| text(seen))?)
}

fn text(seen: &[Seen]) -> String {
    let mib = |kib: u64| format!("{:.1}", f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1_024.0);
    let row = |seen: &Seen| {
        [
            format!("{} × {}", seen.workspaces, seen.accounts),
            format!("{:.0}", seen.start_ms),
            mib(seen.idle.resident_kib),
            seen.idle.descriptors.to_string(),
            mib(seen.after_use.resident_kib),
            seen.after_use.descriptors.to_string(),
            mib(seen.data_bytes / 1_024),
        ]
    };
    let headings = ["WORKSPACES × ACCOUNTS", "START ms", "IDLE MiB", "FDS", "USED MiB", "FDS", "DATA MiB"];
    table(headings, &seen.iter().map(row).collect::<Vec<_>>())
}

impl Footprint {
    async fn measure(&self, workspaces: usize) -> Result<Seen, Failure> {
        let directory = Directory::make()?;
        fill(&directory.data(), workspaces, self.accounts).await.map_err(LifecycleError::from)?;
        let mut starts = Vec::new();
        for _ in 0..self.rounds.max(1) {
            let (serving, took) = Serving::start(&directory).await?;
            starts.push(took);
            drop(serving);
        }
        starts.sort_unstable();
        let start = starts.get(starts.len() / 2).copied().unwrap_or_default();
        let (serving, _) = Serving::start(&directory).await?;
        tokio::time::sleep(IDLE).await;
        let idle = serving.taken()?;
        serving.look_into_every_workspace().await?;
        Ok(Seen {
            workspaces,
            accounts: self.accounts,
            start_ms: start.as_secs_f64() * 1_000.0,
            idle,
            after_use: serving.taken()?,
            data_bytes: size_of(&directory.data())?,
        })
    }
}

/// Workspaces with accounts, as an appliance would have made them.
async fn fill(data: &Path, workspaces: usize, people: usize) -> Result<(), StoreError> {
    let store = Store::open(Layout::new(data.to_owned(), None), Limits { open_workspaces: 4 })?;
    let now = Clock::system().now();
    for number in 0..workspaces {
        let workspace = store.create_workspace().await?;
        let Ok(name) = format!("workspace-{number}").parse() else { continue };
        let life = Life::SUBSCRIBED;
        let entry = Entry { id: workspace.id(), name, life, seats: None, residency: Label::default(), created_at: now };
        let registry = store.registry().clone();
        let insert = move |write: &Write<'_>| Ok(registry.insert(write, &entry)?.map_err(|NameTaken| ()));
        // The names are all different.
        let _ = store.system().write(insert).await?;
        let add = move |write: &Write<'_>| {
            (0..people)
                .filter_map(|number| account(number, now))
                .try_for_each(|account| accounts::insert(write, &account, NO_PASSWORD).map(drop))
        };
        workspace.write(add).await?;
    }
    Ok(())
}

fn account(number: usize, now: Timestamp) -> Option<Account> {
    let name = format!("person.{number}");
    Some(Account {
        id: AccountId::random(&mut entropy::system()),
        user_name: name.parse().ok()?,
        display_name: name.parse().ok()?,
        roles: Roles::only(Role::User),
        status: AccountStatus::Active,
        voice_off: false,
        by_hand: Permissions::NONE,
        created_at: now,
        replayed_at: None,
    })
}

/// A place for the files of one measurement; gone afterwards.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self, Failure> {
        let name = format!("conclave-footprint-{}", RequestId::random(&mut entropy::system()));
        let path = std::env::temp_dir().join(name);
        files::make_private_directory(&path).map_err(LifecycleError::from)?;
        Ok(Self(path))
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind is in the directory for temporary files.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The appliance that is measured.
struct Serving {
    child: Child,
    client: Client,
}

impl Serving {
    /// Starts it, and says how long it took to the first answer.
    async fn start(directory: &Directory) -> Result<(Self, Duration), Failure> {
        let clock = Clock::system();
        let began = clock.instant();
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--data-dir"])
            .arg(directory.data())
            .arg("--admin-socket")
            .arg(directory.socket())
            .stdin(Stdio::null())
            .spawn()?;
        let mut serving = Self { child, client: Client::new(&directory.socket()) };
        loop {
            let answer = serving.client.get::<Value>("/api/v1/system/status").await;
            let took = clock.instant().duration_since(began);
            match answer {
                Ok(_) => return Ok((serving, took)),
                Err(ClientError::NotRunning { .. }) if took < PATIENCE && serving.child.try_wait()?.is_none() => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn taken(&self) -> Result<Taken, Failure> {
        let of_it = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = std::fs::read_to_string(of_it.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let resident_kib = resident.and_then(|kib| kib.parse().ok()).unwrap_or(0);
        Ok(Taken { resident_kib, descriptors: std::fs::read_dir(of_it.join("fd"))?.count() })
    }

    async fn look_into_every_workspace(&self) -> Result<(), Failure> {
        let mut path = "/api/v1/system/workspaces?limit=100".to_owned();
        loop {
            let page: WorkspaceList = self.client.get(&path).await?;
            for workspace in page.workspaces {
                let accounts = format!("/api/v1/system/workspaces/{}/accounts", workspace.id);
                self.client.get::<Value>(&accounts).await?;
            }
            match page.next {
                Some(next) => path = format!("/api/v1/system/workspaces?limit=100&after={next}"),
                None => return Ok(()),
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        drop(self.child.wait());
    }
}

fn size_of(directory: &Path) -> Result<u64, Failure> {
    let mut size = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        size += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(size)
}
