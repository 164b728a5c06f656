// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A screen in files: video frames in IVF, as libvpx and ffmpeg write it. Frames are not decoded.
//!
//! ```text
//! file   "DKIF" ‖ u16 version 0 ‖ u16 32 ‖ codec (4) ‖ u16 width ‖ u16 height ‖ u32 rate ‖ u32 scale ‖ u32 frames ‖ u32 0
//! frame  u32 size ‖ u64 time ‖ data                                                   little-endian throughout
//! ```

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::ClientError;
use crate::client::media::fault;

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 12;

/// What the file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Such as `VP80`.
    pub codec: [u8; 4],
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Units of time a `scale`.
    pub rate: u32,
    /// Seconds that `rate` units take.
    pub scale: u32,
}

/// A frame of a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// When to show it.
    pub at: Duration,
    /// Whether it stands for itself.
    pub key: bool,
    /// The encoded frame.
    pub data: Vec<u8>,
}

/// Whether a frame stands for itself: VP8 (RFC 6386 §9.1) and VP9 say it in the first byte. Of other codecs it is not
/// known, and each is taken for one that does not, but the first of a file.
fn is_key(codec: [u8; 4], data: &[u8]) -> bool {
    let first = data.first().copied().unwrap_or(0xff);
    match &codec {
        b"VP80" => first & 0x01 == 0,
        // frame_marker 2 bits, profile 2 bits, show_existing_frame, frame_type: a key frame of profile 0 to 2.
        b"VP90" => first & 0xc0 == 0x80 && first & 0x0c == 0,
        _ => false,
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<(Format, Vec<Picture>), ClientError> {
    parse(path, &std::fs::read(path).map_err(|error| fault(path)(&error))?)
}

/// Reads the bytes of a file; what is wrong is told with its name.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Format, Vec<Picture>), ClientError> {
    frames(bytes).ok_or_else(|| fault(path)(&"is not IVF, or is cut off"))
}

fn frames(bytes: &[u8]) -> Option<(Format, Vec<Picture>)> {
    let (header, mut rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let u16_at = |at: usize| header.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let u32_at = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    if !header.starts_with(b"DKIF") || u16_at(6)? != 32 {
        return None;
    }
    let format = Format {
        codec: header.get(8..12)?.try_into().ok()?,
        width: u16_at(12)?,
        height: u16_at(14)?,
        rate: u32_at(16)?,
        scale: u32_at(20)?,
    };
    let mut pictures = Vec::new();
    while let Some((header, _)) = rest.split_first_chunk::<FRAME_HEADER_LEN>() {
        let (size, time) = header.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let time = u64::from_le_bytes(time.try_into().ok()?);
        let data;
        (data, rest) = rest.get(FRAME_HEADER_LEN..)?.split_at_checked(size)?;
        let micros = u128::from(time) * u128::from(format.scale) * 1_000_000 / u128::from(format.rate.max(1));
        let at = Duration::from_micros(u64::try_from(micros).ok()?);
        pictures.push(Picture { at, key: pictures.is_empty() || is_key(format.codec, data), data: data.to_vec() });
    }
    (rest.is_empty() && !pictures.is_empty()).then_some((format, pictures))
}

/// Writes frames as they come, with the time they came at.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    frames: u32,
    last: Option<u64>,
}

impl Writer {
    /// Units of time a second: milliseconds.
    const RATE: u32 = 1_000;

    /// Begins a file. Codec and size are not known to who only receives: VP8 is assumed, and a key frame of VP8 says its
    /// size (RFC 6386 §9.1).
    pub fn create(path: &Path, first: &[u8]) -> Result<Self, ClientError> {
        let size = |at: usize| first.get(at..at + 2)?.try_into().ok().map(|size| u16::from_le_bytes(size) & 0x3fff);
        let mut header = b"DKIF\0\0\x20\0VP80".to_vec();
        header.extend_from_slice(&size(6).unwrap_or(0).to_le_bytes());
        header.extend_from_slice(&size(8).unwrap_or(0).to_le_bytes());
        header.extend_from_slice(&Self::RATE.to_le_bytes());
        header.extend_from_slice(&1_u32.to_le_bytes());
        header.extend_from_slice(&[0; 8]);
        let fault = fault(path);
        let mut file = BufWriter::new(File::create(path).map_err(|error| fault(&error))?);
        file.write_all(&header).map_err(|error| fault(&error))?;
        Ok(Self { path: path.to_owned(), file, frames: 0, last: None })
    }

    /// Adds a frame.
    pub fn write(&mut self, data: &[u8], at: Duration) -> Result<(), ClientError> {
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        // Times grow, as players want it.
        let millis = self.last.map_or(millis, |last| millis.max(last + 1));
        self.last = Some(millis);
        let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let frame = [&size.to_le_bytes()[..], &millis.to_le_bytes(), data].concat();
        self.file.write_all(&frame).map_err(|error| fault(&self.path)(&error))?;
        self.frames += 1;
        Ok(())
    }

    /// Ends the file: its header says how many frames there are.
    pub fn finish(mut self) -> Result<(), ClientError> {
        let count = self.frames.to_le_bytes();
        let written = self.file.seek(SeekFrom::Start(24)).and_then(|_| self.file.write_all(&count));
        written.and_then(|()| self.file.flush()).map_err(|error| fault(&self.path)(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_written_as_it_was_read() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/screen.ivf");
        let (format, pictures) = read(&fixture).unwrap();
        assert_eq!((&format.codec, format.width, format.height), (b"VP80", 320, 180));
        assert!(
            pictures.iter().filter(|picture| picture.key).count() > 1 && pictures.iter().any(|picture| !picture.key)
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("again.ivf");
        let mut writer = Writer::create(&path, &pictures[0].data).unwrap();
        pictures.iter().for_each(|picture| writer.write(&picture.data, picture.at).unwrap());
        writer.finish().unwrap();
        let (again, same) = read(&path).unwrap();
        assert_eq!((again.width, again.height), (320, 180));
        let data = |pictures: Vec<Picture>| pictures.into_iter().map(|picture| picture.data).collect::<Vec<_>>();
        assert_eq!(data(same), data(pictures));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/screen.ivf")).unwrap();
        for end in [0, 31, 32, 40, bytes.len() - 1] {
            assert_eq!(frames(&bytes[..end]), None, "{end}");
        }
    }
}
