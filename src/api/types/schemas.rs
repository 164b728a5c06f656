// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the API document says of values whose types know no API: which text they are, with an example.
//!
//! A pattern is given where the rule is one. User names have a rule of Unicode: length and example say what is usual.

use std::borrow::Cow;

use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, schema};
use utoipa::{PartialSchema, ToSchema};

use crate::core::audit::Outcome;
use crate::core::audit::export::Format;
use crate::core::auth::login::AccountStatus;
use crate::core::auth::permission::{Permission, Role, Source};
use crate::core::auth::ticket::KeyThumbprint;
use crate::core::room::policy::Lobby;
use crate::values::name::{DisplayName, Label, RoomName, UserName, WorkspaceName};

/// Text of so many characters.
fn text(lengths: (usize, usize), example: &str) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.min_length(Some(lengths.0)).max_length(Some(lengths.1)).examples([example])
}

/// One of these words.
fn one_of<const N: usize>(words: [&'static str; N]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

/// A name of the letters a to z, digits and hyphens.
fn label(example: &str) -> ObjectBuilder {
    text((2, 63), example).pattern(Some("^[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]$"))
}

macro_rules! described {
    ($($type:ty as $name:literal: $schema:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let object: Object = $schema.build();
                schema::Schema::Object(object).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

described! {
    Role as "Role": one_of(Role::ALL.map(Role::as_str));
    AccountStatus as "AccountStatus": one_of([AccountStatus::Active, AccountStatus::Disabled].map(AccountStatus::as_str));
    Lobby as "Lobby": one_of(Lobby::ALL.map(Lobby::as_str));
    Permission as "Permission": one_of(Permission::ALL.map(Permission::as_str));
    Outcome as "Outcome": one_of([Outcome::Allowed, Outcome::Refused].map(Outcome::as_str));
    Format as "ExportFormat": one_of(Format::ALL.map(Format::as_str));
    Source as "Source": one_of(["role", "hand"]);
    UserName as "UserName": text((2, 64), "ada.lovelace");
    DisplayName as "DisplayName": text((1, 80), "Ada Lovelace");
    WorkspaceName as "WorkspaceName": label("acme");
    RoomName as "RoomName": label("board");
    Label as "Label": text((0, 200), "Rack 4, Utrecht");
    KeyThumbprint as "KeyThumbprint":
        text((43, 43), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").pattern(Some("^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"));
}
