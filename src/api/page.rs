// SPDX-License-Identifier: AGPL-3.0-or-later
//! Pages of a list that is in the order of names: `after` is the name that the page before ended with.

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{IntoParams, PartialSchema};

/// Things on a page, at most and when not asked.
const PAGE: u32 = 200;

/// Which page of a list, or which one of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page<Name> {
    /// The `next` of the page before.
    pub after: Option<Name>,
    /// Exactly this name.
    pub name: Option<Name>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl<Name: PartialSchema> IntoParams for Page<Name> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::UInt32)))
            .minimum(Some(0));
        let parameter = |name: &str, description: &str, schema: RefOr<Schema>| {
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
            parameter.description(Some(description)).schema(Some(schema)).build()
        };
        vec![
            parameter("after", "The `next` of the page before.", Name::schema()),
            parameter("name", "Exactly this name.", Name::schema()),
            parameter("limit", "At most so many; more than 200 is as good as 200.", number.build().into()),
        ]
    }
}

/// How many are on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// As asked. Out of range is not wrong: a page has its size.
    pub fn asked(limit: Option<u32>) -> Self {
        Self(limit.unwrap_or(PAGE).clamp(1, PAGE))
    }

    /// How many to look for: one more says whether there is a next page.
    pub const fn look_for(self) -> u32 {
        self.0 + 1
    }

    /// Cuts what was found to a page; answers its last name when there is another page.
    pub fn cut<T, Name>(self, found: &mut Vec<T>, name: impl FnOnce(&T) -> Name) -> Option<Name> {
        let limit = usize::try_from(self.0).unwrap_or(usize::MAX);
        let more = found.len() > limit;
        found.truncate(limit);
        found.last().filter(|_| more).map(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_size_and_says_whether_there_is_another() {
        let check = |asked: Option<u32>, there: u32, on_page: usize, next: Option<u32>| {
            let limit = Limit::asked(asked);
            let mut found: Vec<u32> = (1..=there).take(limit.look_for() as usize).collect();
            assert_eq!(limit.cut(&mut found, |last| *last), next, "{asked:?} of {there}");
            assert_eq!(found.len(), on_page, "{asked:?} of {there}");
        };
        check(None, 0, 0, None);
        check(None, 200, 200, None);
        check(None, 201, 200, Some(200));
        check(Some(2), 3, 2, Some(2));
        check(Some(3), 3, 3, None);
        check(Some(0), 2, 1, Some(1));
        check(Some(u32::MAX), 300, 200, Some(200));
    }
}
