// SPDX-License-Identifier: AGPL-3.0-or-later
//! QR codes as text.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// What a QR code is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// A terminal, mostly dark.
    Terminal,
    /// A file, to be printed on paper.
    Paper,
}

/// A QR code of blocks; empty when the text is too long for one.
pub fn code(text: &str, ground: Ground) -> String {
    let Ok(code) = QrCode::new(text) else { return String::new() };
    // Blocks are light on a dark terminal and dark on paper, and many cameras read no code with its colours exchanged.
    let (dark, light) = match ground {
        Ground::Terminal => (Dense1x2::Light, Dense1x2::Dark),
        Ground::Paper => (Dense1x2::Dark, Dense1x2::Light),
    };
    let drawn = code.render::<Dense1x2>().dark_color(dark).light_color(light).build();
    format!("{drawn}\n")
}
