// SPDX-License-Identifier: AGPL-3.0-or-later
//! Lists of the API, page after page until the last.

use serde::de::DeserializeOwned;

use crate::api::types::AccountList;
use crate::api::types::rooms::RoomList;
use crate::api::types::workspaces::WorkspaceList;
use crate::cli::client::{Client, ClientError, percent_encoded};

/// A list that comes in pages.
pub trait Paged: DeserializeOwned {
    /// Takes out what the next page is asked for with.
    fn take_next(&mut self) -> Option<String>;
    /// Adds what another page has.
    fn append(&mut self, page: Self);
}

macro_rules! paged {
    ($list:ty, $items:ident) => {
        impl Paged for $list {
            fn take_next(&mut self) -> Option<String> {
                self.next.take().map(|name| name.to_string())
            }

            fn append(&mut self, mut page: Self) {
                self.$items.append(&mut page.$items);
            }
        }
    };
}

paged!(AccountList, accounts);
paged!(RoomList, rooms);
paged!(WorkspaceList, workspaces);

/// The whole list.
pub async fn all<P: Paged>(client: &Client, path: &str) -> Result<P, ClientError> {
    let mut list: P = client.get(path).await?;
    let mut next = list.take_next();
    while let Some(after) = next {
        let mut page: P = client.get(&format!("{path}?after={}", percent_encoded(&after))).await?;
        next = page.take_next();
        list.append(page);
    }
    Ok(list)
}
