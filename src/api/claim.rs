// SPDX-License-Identifier: AGPL-3.0-or-later
//! **Where an appliance is claimed**: one function for its three doors, the setup page, the host and `provision.toml`.
//!
//! Everything of a claim is one transaction: the one `UPDATE` that no second one can follow, the operator's account,
//! the root, the audit record, and `recovery.json` before the commit.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::credential::Given;
use crate::api::error::Problem;
use crate::api::principal::Caller;
use crate::api::services::{App, Services};
use crate::api::types::Base64;
use crate::api::types::setup::{FirstOperator, SetupCodeView, SetupDone};
use crate::api::views;
use crate::core::audit::Outcome;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Permissions, Role, Roles};
use crate::core::claim::{Claim, CodeHash, SetupCode, StoredCode, Verdict, judge};
use crate::core::keys::recovery::RecoveryPublicKey;
use crate::platform::entropy;
use crate::platform::password;
use crate::platform::pki::{Fingerprint, Scope};
use crate::platform::qr::{self, Ground};
use crate::platform::store::accounts::{self, Account};
use crate::platform::store::claim;
use crate::platform::store::workspace::Write;
use crate::platform::sys;
use crate::platform::trust;
use crate::values::id::{AccountId, WorkspaceId};
use crate::values::name::{DisplayName, UserName};
use crate::values::secret::SecretText;

/// Whether there is an operator.
pub async fn is_claimed(app: &Services) -> Result<bool, Problem> {
    Ok(app.store.system().read(claim::is_claimed).await?)
}

/// Refuses what an appliance without an operator cannot do.
pub async fn require_claimed(app: &Services) -> Result<(), Problem> {
    if is_claimed(app).await? { Ok(()) } else { Err(Problem::Unclaimed) }
}

/// The setup code that holds, as it is typed. What is stored is its hash, so a restart makes a new one.
#[derive(Default)]
pub struct ShownCode(Mutex<Option<SetupCode>>);

impl ShownCode {
    fn get(&self) -> Option<SetupCode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, code: Option<SetupCode>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = code;
    }
}

/// The setup code: the one that holds, or a new one when there is none or one is asked for. For the host alone,
/// and for the appliance's own start.
pub async fn setup_code(app: &App, caller: Caller, new: bool) -> Result<SetupCodeView, Problem> {
    let now = app.clock.now();
    if let Some(shown) = app.setup_code.get().filter(|_| !new)
        && let Claim::Unclaimed { code: Some(stored) } = app.store.system().read(claim::load).await?
        && stored.hash == shown.hash()
        && stored.holds(now)
    {
        return Ok(view(app, &shown, &stored));
    }
    let code = SetupCode::random(&mut entropy::system());
    let stored = StoredCode::fresh(&code, now);
    let event = caller.event("setup.code", "appliance", Outcome::Allowed);
    let (services, shown) = (Arc::clone(app), code.clone());
    let write = move |write: &Write<'_>| {
        if !claim::put_code(write, &stored)? {
            return Ok(false);
        }
        write.audit(&event, now)?;
        write.after_commit(move || services.setup_code.set(Some(shown)));
        Ok(true)
    };
    if app.store.system().write(write).await? { Ok(view(app, &code, &stored)) } else { Err(Problem::AlreadyClaimed) }
}

fn view(app: &Services, code: &SetupCode, stored: &StoredCode) -> SetupCodeView {
    SetupCodeView {
        code: code.expose().to_owned(),
        expires_at: stored.expires_at,
        tries_left: stored.tries_left,
        urls: urls(app, "/setup"),
        fingerprint: views::trust(app).fingerprint,
    }
}

/// Says in the log what the host asked for, with a code for the camera of a phone.
pub fn show_in_log(shown: &SetupCodeView) {
    say(shown, &format!("\n{}", qr::code(shown.urls.first().map_or("", String::as_str), Ground::Terminal)));
}

/// Says in the log of an appliance without an operator where it is claimed, and by which code.
pub async fn announce(app: &App) -> Result<(), Problem> {
    say(&setup_code(app, Caller::APPLIANCE, true).await?, "");
    Ok(())
}

/// The code is a secret that is meant for the journal: whoever may read that runs the host. It lives for an hour and
/// claims only what nobody has claimed. It is in the words too, because `journalctl` shows no fields.
fn say(shown: &SetupCodeView, besides: &str) {
    let SetupCodeView { code, expires_at, urls, fingerprint, .. } = shown;
    let url = urls.first().map_or("", String::as_str);
    tracing::info!(
        setup.url = url, setup.code = code, setup.expires_at = %expires_at, setup.fingerprint = fingerprint,
        "nobody runs this appliance yet: open {url} and type {code}; its certificate has SHA-256 {fingerprint}{besides}"
    );
}

/// How a browser reaches a page: by the names of the root when there is one, else by the addresses that are listened
/// on, else by the name of the host. Interfaces are not looked at: the host tells its addresses.
pub fn urls(app: &Services, path: &str) -> Vec<String> {
    let port = app.https.first().map_or(443, SocketAddr::port);
    let url = |host: String| {
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        format!("https://{host}{port}{path}")
    };
    let authority = app.trust.certificates().authority();
    let names = authority.iter().flat_map(|authority| authority.scope().names()).map(ToString::to_string);
    let reached = listened_on(app);
    let inside =
        |address: &IpAddr| authority.as_ref().is_none_or(|authority| authority.scope().includes_address(*address));
    let bracketed = |address: IpAddr| if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let mut hosts: Vec<String> = names.chain(reached.filter(inside).map(bracketed)).collect();
    if hosts.is_empty() {
        hosts.push(sys::host_name());
    }
    hosts.into_iter().map(url).collect()
}

/// The addresses by which the appliance can be reached, as far as they are known.
pub fn listened_on(app: &Services) -> impl Iterator<Item = IpAddr> {
    let on_all = |v4: bool| app.https.iter().any(|all| all.ip().is_unspecified() && all.is_ipv4() == v4);
    let told = app.addresses.all().into_iter().filter(|address| on_all(address.is_ipv4()));
    let told: Vec<IpAddr> = told.collect();
    named(app).chain(told)
}

/// Those among them that it was told to listen on one by one.
pub fn named(app: &Services) -> impl Iterator<Item = IpAddr> {
    app.https.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified())
}

/// Judges a setup code before anything is computed for whoever typed it. A wrong one takes a try.
pub async fn check_code(app: &App, caller: Caller, typed: Option<CodeHash>) -> Result<(), Problem> {
    let now = app.clock.now();
    let refused = caller.event("appliance.claim", "appliance", Outcome::Refused);
    let write = move |write: &Write<'_>| {
        let verdict = claim::try_code(write, typed.as_ref(), now)?;
        if let Verdict::Wrong { .. } = verdict {
            write.audit(&refused, now)?;
        }
        Ok(verdict)
    };
    match app.store.system().write(write).await? {
        Verdict::May => Ok(()),
        Verdict::AlreadyClaimed => Err(Problem::AlreadyClaimed),
        Verdict::Void => Err(Problem::SetupCodeVoid),
        Verdict::Wrong { tries_left } => Err(Problem::SetupCodeWrong(tries_left)),
    }
}

/// The key to seal to that somebody gave.
pub fn recovery_key(given: &Base64) -> Result<RecoveryPublicKey, Problem> {
    let bytes = given.0.as_slice().try_into().map(RecoveryPublicKey::new);
    bytes.map_err(|_| Problem::InvalidBody("recovery_public_key: an X25519 public key has 32 bytes".to_owned()))
}

/// Which root the appliance will have.
pub enum Root {
    /// One for these names and networks.
    New(Scope),
    /// The one that is kept, which somebody confirmed by this fingerprint.
    Confirmed(String),
}

/// Everything of a claim.
pub struct Claiming {
    /// Who claims.
    pub caller: Caller,
    /// By which code; none from the host.
    pub code: Option<CodeHash>,
    /// Through which door, for the audit.
    pub door: &'static str,
    /// Which root.
    pub root: Root,
    /// The first operator.
    pub operator: FirstOperator,
    /// Their password.
    pub password: Given,
    /// The recovery kit; none when somebody wants to do without.
    pub recovery: Option<RecoveryPublicKey>,
}

/// A claim without a person.
pub struct Provided {
    /// Names and networks.
    pub scope: Scope,
    /// The operator's user name.
    pub user_name: UserName,
    /// What others see.
    pub display_name: DisplayName,
    /// The password; without one nobody knows it, and the host makes a link.
    pub password: Option<SecretText>,
    /// The recovery kit.
    pub recovery: Option<RecoveryPublicKey>,
}

/// Claims by `provision.toml`.
pub async fn provide(app: &App, provided: Provided) -> Result<SetupDone, Problem> {
    let Provided { scope, user_name, display_name, password, recovery } = provided;
    let made = || Given::Made(password::random_password(&mut entropy::system()));
    let claiming = Claiming {
        caller: Caller::LOCAL,
        code: None,
        door: "by a provision file",
        root: Root::New(scope),
        operator: FirstOperator { user_name, display_name },
        password: password.map_or_else(made, Given::Chosen),
        recovery,
    };
    claim(app, claiming).await
}

/// Claims the appliance. What was begun is ended even when whoever asked hangs up: a claimed appliance must not go on
/// with the certificate of one that is not.
pub async fn claim(app: &App, claiming: Claiming) -> Result<SetupDone, Problem> {
    let app = Arc::clone(app);
    tokio::spawn(async move { claim_now(&app, claiming).await }).await.unwrap_or(Err(Problem::Internal))
}

fn is_kept(kept: Option<Fingerprint>, confirmed: &str) -> bool {
    kept.is_some_and(|kept| hex::encode(kept.as_bytes()) == confirmed)
}

async fn claim_now(app: &App, claiming: Claiming) -> Result<SetupDone, Problem> {
    let Claiming { caller, code, door, root, operator, password, recovery } = claiming;
    let hash = app.hasher.hash(password.password().clone()).await?;
    let appliance = app.store.public_identity().appliance_id();
    let (confirmed, parts) = match root {
        Root::New(scope) => (None, Some(app.trust.mint(scope, &appliance)?.1)),
        Root::Confirmed(fingerprint) => (Some(fingerprint), None),
    };
    let sealed = recovery
        .map(|kit| app.store.keyring().sealed_to(&kit, &appliance))
        .transpose()
        .map_err(|_| Problem::InvalidBody("recovery_public_key: is no key to seal to, make a new kit".to_owned()))?;
    let write_recovery = app.store.recovery_writer(sealed);

    let now = app.clock.now();
    let operator = Account {
        id: AccountId::random(&mut entropy::system()),
        user_name: operator.user_name,
        display_name: operator.display_name,
        roles: Roles::only(Role::Admin),
        status: AccountStatus::Active,
        voice_off: false,
        by_hand: Permissions::NONE,
        created_at: now,
        replayed_at: None,
    };
    let mut event = caller.event("appliance.claim", format!("operator:{}", operator.id), Outcome::Allowed);
    event.detail = format!("{door}, {} recovery kit", if recovery.is_some() { "with" } else { "without" });
    let (stored, services) = (operator.clone(), Arc::clone(app));
    let write = move |write: &Write<'_>| {
        if let Some(confirmed) = confirmed
            && !is_kept(trust::kept_root(write.sql(), write.keys())?, &confirmed)
        {
            return Ok(Err(Problem::RootNotConfirmed));
        }
        match judge(&claim::load(write.sql())?, code.as_ref(), now) {
            Verdict::May => {}
            Verdict::AlreadyClaimed => return Ok(Err(Problem::AlreadyClaimed)),
            // It was right a moment ago.
            Verdict::Void | Verdict::Wrong { .. } => return Ok(Err(Problem::SetupCodeVoid)),
        }
        if accounts::insert(write, &stored, &hash)?.is_err() {
            return Ok(Err(Problem::UserNameTaken));
        }
        if !claim::claim(write, code.as_ref(), recovery.as_ref(), now)? {
            // Rolls back.
            return Err(rusqlite::Error::StatementChangedRows(0));
        }
        if let Some(parts) = &parts {
            trust::save_authority(write, parts, now)?;
        }
        write.audit(&event, now)?;
        write_recovery(write)?;
        write.after_commit(move || services.setup_code.set(None));
        Ok(Ok(()))
    };
    app.store.system().write(write).await??;
    app.trust.adopt(&app.store).await?;
    let workspace = views::workspace_ref(app, WorkspaceId::SYSTEM)?;
    Ok(SetupDone {
        operator: views::account(&operator, &workspace),
        initial_password: password.to_tell(),
        root_fingerprint: views::trust(app).fingerprint,
        urls: urls(app, "/"),
    })
}
