// SPDX-License-Identifier: AGPL-3.0-or-later
//! `conclave account …`.

use std::io::BufRead;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::api::types::{AccountList, AccountView, CreatedAccount, Explanation, PasswordSet, PermissionView};
use crate::cli::client::percent_encoded;
use crate::cli::exit::Failure;
use crate::cli::output::{facts, table};
use crate::cli::{Door, InWorkspace, pages, room, workspace};
use crate::core::auth::permission::{Role, Source};
use crate::values::name::UserName;

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an account; without --password-stdin its password is made and told once
    Create {
        #[command(flatten)]
        at: InWorkspace,
        /// What the person will sign in with
        name: String,
        /// What others will see [default: the user name]
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// guest, user, power_user or admin
        #[arg(long, default_value = "user")]
        role: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List accounts
    List {
        #[command(flatten)]
        at: InWorkspace,
    },
    /// Show an account
    Show {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
    },
    /// Change the roles of an account; the highest counts
    Role {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        /// guest, user, power_user or admin; several are possible
        #[arg(required = true)]
        role: Vec<String>,
    },
    /// Change a setting of an account
    #[command(group = ArgGroup::new("setting").required(true).multiple(true))]
    Set {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        /// What others will see
        #[arg(long, value_name = "NAME", group = "setting")]
        display_name: Option<String>,
        /// Whether its voice may be heard, in every room and at once
        #[arg(long, value_enum, group = "setting")]
        voice: Option<Switch>,
    },
    /// Explain what an account may do and why, or would if something changed
    #[command(
        after_help = "Example: conclave account permissions --workspace demo bob --room lobby --give room.moderate"
    )]
    Permissions {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        /// With the rules of this room
        #[arg(long, value_name = "ROOM")]
        room: Option<String>,
        /// As if it had this role
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        /// As if it were given this permission; may be given several times
        #[arg(long, value_name = "PERMISSION")]
        give: Vec<String>,
        /// As if this were taken from what it was given; may be given several times
        #[arg(long, value_name = "PERMISSION")]
        take: Vec<String>,
    },
    /// Give an account a permission by hand
    Give {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        /// Name of the permission, such as `room.moderate`
        permission: String,
    },
    /// Take away a permission that was given by hand
    Take {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        /// Name of the permission
        permission: String,
    },
    /// Switch an account off and end its sessions; its data stays
    Disable {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
    },
    /// Erase an account with what is stored of the person. Takes two persons (`conclave approval`)
    Erase {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        /// Id of the approved request `account.erase`
        #[arg(long, value_name = "ID")]
        approval: String,
    },
    /// Switch an account on again
    Enable {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
    },
    /// Set a new password and end the sessions; without --password-stdin it is made and told once
    Password {
        #[command(flatten)]
        at: InWorkspace,
        /// User name
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
}

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Where a password comes from. Never from the command line, where others could read it.
#[derive(Debug, Args)]
pub struct PasswordSource {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordSource {
    fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        if !self.password_stdin {
            return Ok(None);
        }
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(Some(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// Runs the command.
pub async fn run(door: &Door, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { at, name, display_name, role, password } => {
            let mut body = json!({
                "user_name": name, "display_name": display_name.unwrap_or_else(|| name.clone()), "role": role,
            });
            add_password(&mut body, &password)?;
            let path = workspace::path_to(door, &at, "accounts").await?;
            let made: CreatedAccount = door.client.send_json(Method::POST, &path, &body).await?;
            let text = |made: &CreatedAccount| show_text(&made.account, made.initial_password.as_ref());
            Ok(door.output.print(&made, text)?)
        }
        Command::List { at } => list(door, &at).await,
        Command::Show { at, name } => {
            let (path, _) = find(door, &at, &name).await?;
            let account: AccountView = door.client.get(&path).await?;
            Ok(door.output.print(&account, |account| show_text(account, None))?)
        }
        Command::Role { at, name, role } => update(door, &at, &name, json!({ "roles": role })).await,
        Command::Set { at, name, display_name, voice } => {
            let mut body = Map::new();
            body.extend(display_name.map(|name| ("display_name".to_owned(), json!(name))));
            body.extend(voice.map(|voice| ("voice_off".to_owned(), json!(voice == Switch::Off))));
            update(door, &at, &name, Value::Object(body)).await
        }
        Command::Permissions { at, name, room, role, give, take } => {
            let (path, _) = find(door, &at, &name).await?;
            let mut query = String::new();
            if let Some(room) = room {
                let (_, room) = room::find(door, &at, &room).await?;
                query.push_str(&format!("&room={}", room.id));
            }
            let lists = [("role", role.unwrap_or_default()), ("give", give.join(",")), ("take", take.join(","))];
            for (name, value) in lists.iter().filter(|(_, value)| !value.is_empty()) {
                query.push_str(&format!("&{name}={}", percent_encoded(value)));
            }
            let path = format!("{path}/permissions/explain?{}", query.trim_start_matches('&'));
            let explanation: Explanation = door.client.get(&path).await?;
            Ok(door.output.print(&explanation, explanation_text)?)
        }
        Command::Give { at, name, permission } => by_hand(door, &at, &name, &permission, Method::PUT).await,
        Command::Take { at, name, permission } => by_hand(door, &at, &name, &permission, Method::DELETE).await,
        Command::Erase { at, name, approval } => {
            let (path, account) = find(door, &at, &name).await?;
            let path = format!("{path}?approval={}", percent_encoded(&approval));
            door.client.send_empty(Method::DELETE, &path).await?;
            let done = format!("{name} is erased; the audit knows the account by its id alone.\n");
            Ok(door.output.print(&json!({ "account": account.id, "erased": true }), |_| done)?)
        }
        Command::Disable { at, name } => update(door, &at, &name, json!({ "status": "disabled" })).await,
        Command::Enable { at, name } => update(door, &at, &name, json!({ "status": "active" })).await,
        Command::Password { at, name, password } => {
            let (path, _) = find(door, &at, &name).await?;
            let mut body = json!({});
            add_password(&mut body, &password)?;
            let set: PasswordSet = door.client.send_json(Method::PUT, &format!("{path}/password"), &body).await?;
            let text = |set: &PasswordSet| {
                let mut pairs = vec![("Sessions ended", set.sessions_ended.to_string())];
                pairs.extend(
                    set.initial_password.clone().map(|password| ("Password", format!("{password}   (told this once)"))),
                );
                facts(&pairs)
            };
            Ok(door.output.print(&set, text)?)
        }
    }
}

async fn by_hand(door: &Door, at: &InWorkspace, name: &str, permission: &str, method: Method) -> Result<(), Failure> {
    let (path, _) = find(door, at, name).await?;
    door.client.send_empty(method, &format!("{path}/permissions/{}", percent_encoded(permission))).await?;
    let (_, account) = find(door, at, name).await?;
    Ok(door.output.print(&account, |account| show_text(account, None))?)
}

fn explanation_text(explanation: &Explanation) -> String {
    let row = |view: &PermissionView| {
        let source = match view.source {
            Some(Source::Role) => "by role",
            Some(Source::Hand) => "by hand",
            None => "no",
        };
        let lowest = view.lowest_role.map_or("nobody", Role::as_str);
        let effective = if view.effective { "yes" } else { "no" };
        [&view.permission, source, effective, lowest, &view.obstacles.join(", ")].map(ToString::to_string)
    };
    let rows: Vec<_> = explanation.permissions.iter().map(row).collect();
    table(["PERMISSION", "HAS IT", "MAY NOW", "CARRIED FROM", "IN THE WAY"], &rows)
}

fn add_password(body: &mut Value, source: &PasswordSource) -> Result<(), Failure> {
    if let (Some(password), Some(body)) = (source.read()?, body.as_object_mut()) {
        body.insert("password".to_owned(), Value::String(password.to_string()));
    }
    Ok(())
}

/// The account with this user name, and the path of its resource.
pub async fn find(door: &Door, at: &InWorkspace, name: &str) -> Result<(String, AccountView), Failure> {
    let path = workspace::path_to(door, at, "accounts").await?;
    let missing = || workspace::missing(at, "account", name);
    let normal: UserName = name.parse().map_err(|_| missing())?;
    let found: AccountList = door.client.get(&format!("{path}?user_name={}", percent_encoded(normal.as_str()))).await?;
    let account = found.accounts.into_iter().next().ok_or_else(missing)?;
    Ok((format!("{path}/{}", account.id), account))
}

async fn list(door: &Door, at: &InWorkspace) -> Result<(), Failure> {
    let path = workspace::path_to(door, at, "accounts").await?;
    let all: AccountList = pages::all(&door.client, &path).await?;
    let text = |list: &AccountList| {
        if list.accounts.is_empty() {
            return format!(
                "There is no account yet.\n\nNext: conclave account create --workspace {} NAME\n",
                at.workspace
            );
        }
        let rows: Vec<_> = list
            .accounts
            .iter()
            .map(|account| {
                let (role, status) = (account.role.as_str(), account.status.as_str());
                [
                    account.user_name.to_string(),
                    account.display_name.to_string(),
                    role.to_owned(),
                    status.to_owned(),
                    account.id.to_string(),
                ]
            })
            .collect();
        table(["USER NAME", "DISPLAY NAME", "ROLE", "STATUS", "ID"], &rows)
    };
    Ok(door.output.print(&all, text)?)
}

async fn update(door: &Door, at: &InWorkspace, name: &str, body: Value) -> Result<(), Failure> {
    let (path, _) = find(door, at, name).await?;
    let account: AccountView = door.client.send_json(Method::PATCH, &path, &body).await?;
    Ok(door.output.print(&account, |account| show_text(account, None))?)
}

fn show_text(account: &AccountView, password: Option<&String>) -> String {
    let mut pairs = vec![
        ("Workspace", account.workspace.name.to_string()),
        ("User name", account.user_name.to_string()),
        ("Display name", account.display_name.to_string()),
        ("Role", account.roles.iter().rev().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
        ("Status", account.status.as_str().to_owned()),
        ("Voice", if account.voice_off { "off" } else { "on" }.to_owned()),
        ("By hand", if account.by_hand.is_empty() { "nothing".to_owned() } else { account.by_hand.join(", ") }),
        ("Id", account.id.to_string()),
    ];
    pairs.extend(
        account
            .session_replayed_at
            .map(|at| ("Refresh token replayed", format!("{at}: somebody else may have had it"))),
    );
    pairs.extend(password.map(|password| ("Password", format!("{password}   (told this once)"))));
    facts(&pairs)
}
