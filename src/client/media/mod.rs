// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a client without a microphone, a screen or a headset sends, and how it keeps what arrives.
//!
//! | file | what |
//! |---|---|
//! | [`ogg_opus`] | speech: Opus packets in Ogg (RFC 7845) |
//! | [`ivf`] | a screen: video frames in IVF |
//! | [`motion`] | poses: generated, or recorded as JSON lines |

pub mod ivf;
pub mod motion;
pub mod ogg_opus;

use std::path::Path;

use crate::client::ClientError;

/// For `map_err`: what is wrong with a file.
fn fault(path: &Path) -> impl Fn(&dyn std::fmt::Display) -> ClientError + '_ {
    move |reason| ClientError::Media { path: path.display().to_string(), reason: reason.to_string() }
}
