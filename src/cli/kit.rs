// SPDX-License-Identifier: AGPL-3.0-or-later
//! A recovery kit on paper: made here, so that the appliance never sees its words; shown once, and proven by three of
//! them before anything depends on it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use rand_core::Rng;
use zeroize::Zeroizing;

use crate::cli::exit::Failure;
use crate::cli::output::{facts, grouped, print};
use crate::core::keys::recovery::{RecoveryPublicKey, RecoverySeed};
use crate::platform::clock::Clock;
use crate::platform::entropy;
use crate::platform::qr::{self, Ground};
use crate::platform::recovery;
use crate::platform::store::files;

/// How many words are asked for.
const ASKED: usize = 3;
/// How often they may be wrong before the kit is thrown away.
const TRIES: usize = 3;

/// A kit that was made just now.
pub struct Kit {
    words: Vec<&'static str>,
    public: RecoveryPublicKey,
}

/// What is printed with the words, when it is known.
pub struct Whose<'a> {
    /// The appliance id.
    pub appliance: &'a str,
    /// Its public identity key.
    pub identity_key: &'a [u8],
    /// SHA-256 of its root, in hex.
    pub root_fingerprint: &'a str,
}

impl Kit {
    /// A fresh one.
    pub fn make() -> Result<Self, Failure> {
        let seed = RecoverySeed::random(&mut entropy::system());
        let public = seed.public().map_err(std::io::Error::other)?;
        Ok(Self { words: recovery::words(&seed), public })
    }

    /// What the appliance may know of it.
    pub const fn public(&self) -> &RecoveryPublicKey {
        &self.public
    }

    /// What is to be kept on paper.
    pub fn text(&self, whose: Option<&Whose<'_>>, ground: Ground) -> Zeroizing<String> {
        let date = Clock::system().now().to_string();
        let mut known = vec![("Made on", date.get(..10).unwrap_or(&date).to_owned())];
        if let Some(whose) = whose {
            known.push(("Appliance", grouped(whose.appliance).to_lowercase()));
            known.push(("Identity key", hex::encode(whose.identity_key)));
            known.push(("Root SHA-256", grouped(whose.root_fingerprint)));
        }
        known.push(("Recovery key", base64_url(&self.public.to_bytes())));
        let numbered: Vec<String> =
            (1..).zip(&self.words).map(|(number, word)| format!("{number:>3}. {word:<9}")).collect();
        let lines: Vec<String> = numbered.chunks(4).map(|row| row.concat().trim_end().to_owned()).collect();
        Zeroizing::new(format!(
            "CONCLAVE RECOVERY KIT\n\n{}\n{}\n\n{}\n\
             Keep this on paper, away from the appliance. Whoever has these words and a copy of its data can open\n\
             everything in it; without them a lost master key is lost. To use them:\n\
             conclave recovery restore --data-dir DIR\n",
            facts(&known),
            lines.join("\n"),
            qr::code(&self.words.join(" "), ground),
        ))
    }

    /// Writes the kit into a file that nobody else may read. An existing one is not overwritten: it may be a kit.
    pub fn write(&self, path: &Path, whose: Option<&Whose<'_>>) -> Result<(), Failure> {
        refuse_existing(path)?;
        let failed = |error: crate::platform::store::error::StoreError| {
            Failure::File(path.display().to_string(), std::io::Error::other(error.to_string()))
        };
        files::write_private(path, self.text(whose, Ground::Paper).as_bytes()).map_err(failed)
    }

    /// Shows the kit and asks for three of its words, so that it is known to be on paper.
    pub fn show_and_prove(&self, whose: &Whose<'_>) -> Result<(), Failure> {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "the recovery kit is shown and asked about on a terminal: write it with --kit-file FILE, give one made elsewhere with --recovery-public-key KEY, or do without with --without-recovery-kit".to_owned(),
            ));
        }
        print(&format!(
            "{}\nThis is shown once. Write it down or print it now.\n\n",
            *self.text(Some(whose), Ground::Terminal)
        ))?;
        let mut ask = |position: usize| -> std::io::Result<String> {
            print(&format!("Word {position}: "))?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            std::io::stdout().flush()?;
            Ok(line)
        };
        let positions = positions(self.words.len());
        for _ in 0..TRIES {
            if self.proves(&positions, &mut ask)? {
                return Ok(());
            }
            print("One of them is another word. Look at the kit again.\n")?;
        }
        Err(Failure::CheckFailed(
            "the recovery kit is not proven, so nothing was claimed: run the command again for a new one".to_owned(),
        ))
    }

    fn proves(
        &self,
        positions: &[usize],
        ask: &mut impl FnMut(usize) -> std::io::Result<String>,
    ) -> std::io::Result<bool> {
        let mut right = true;
        for position in positions {
            let typed = ask(*position)?;
            right &= self.words.get(position - 1).is_some_and(|word| typed.trim().eq_ignore_ascii_case(word));
        }
        Ok(right)
    }
}

/// Refuses a path where something is.
pub fn refuse_existing(path: &Path) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let there =
        std::io::Error::new(std::io::ErrorKind::AlreadyExists, "is there already, and may be a kit: name another file");
    Err(Failure::File(path.display().to_string(), there))
}

/// Three different places, in order.
fn positions(words: usize) -> Vec<usize> {
    let mut rng = entropy::system();
    let mut positions = Vec::new();
    while positions.len() < ASKED.min(words) {
        let position = usize::try_from(rng.next_u32()).unwrap_or_default() % words + 1;
        if !positions.contains(&position) {
            positions.push(position);
        }
    }
    positions.sort_unstable();
    positions
}

/// Bytes as the API takes them.
pub fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_words_by_position_prove_a_kit_and_a_wrong_one_does_not() {
        let kit = Kit::make().unwrap();
        for _ in 0..50 {
            let positions = positions(kit.words.len());
            assert_eq!(positions.len(), ASKED);
            assert!(
                positions.windows(2).all(|pair| pair[0] < pair[1]) && positions.iter().all(|at| (1..=24).contains(at))
            );
            let mut right = |at: usize| Ok(format!(" {}\n", kit.words[at - 1].to_uppercase()));
            assert!(kit.proves(&positions, &mut right).unwrap());
            let wrong_at = positions[1];
            let mut wrong =
                |at: usize| Ok(if at == wrong_at { "conclave".to_owned() } else { kit.words[at - 1].to_owned() });
            assert!(!kit.proves(&positions, &mut wrong).unwrap());
        }
    }

    #[test]
    fn the_paper_holds_everything_and_reads_back() {
        let kit = Kit::make().unwrap();
        let whose = Whose { appliance: "00ff00ff", identity_key: &[7; 32], root_fingerprint: "abcd1234" };
        let text = kit.text(Some(&whose), Ground::Paper);
        for part in ["00ff 00ff", "0707", "ABCD 1234", "  1. ", " 24. ", "█"] {
            assert!(text.contains(part), "no {part:?} in: {}", *text);
        }
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{}", *text);
    }
}
