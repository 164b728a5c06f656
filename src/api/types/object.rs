// SPDX-License-Identifier: AGPL-3.0-or-later
//! Requests are objects. What serde derives also reads a struct from an array of its fields in order, which no document
//! promises: `[null, null]` would be a request for a new password.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A value that is written as an object and no other way.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// For a field.
pub fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// For a field that may be absent or null.
pub fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(|Object(value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::rooms::CreateRoom;
    use crate::api::types::{ResetPassword, SignIn};

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        fn check<T: for<'de> Deserialize<'de>>(json: &str, good: bool) {
            assert_eq!(serde_json::from_str::<Object<T>>(json).is_ok(), good, "{json}");
        }
        check::<ResetPassword>("{}", true);
        check::<ResetPassword>("[null,null]", false);
        check::<CreateRoom>(r#"{"name":"lobby","policy":{"voice":true}}"#, true);
        check::<CreateRoom>(r#"{"name":"lobby","policy":[true,null,null,null,null,null,null,null]}"#, false);
        check::<SignIn>(r#"{"plain":{"workspace":"demo","user_name":"ada","password":"x"}}"#, true);
        check::<SignIn>(r#"{"plain":["demo","ada","x"]}"#, false);
        check::<SignIn>(r#"{"plain":null,"sealed":null}"#, true);
        check::<SignIn>(r#"{"plain":null,"plain":null}"#, false);
    }
}
