// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Speech in files: Opus packets (RFC 6716) in Ogg (RFC 7845). Packets are read and written as they are, never decoded.

use std::fs::File;
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};

use crate::client::ClientError;
use crate::client::media::fault;
use crate::wire::frame::AudioLevel;

/// Samples a second that granule positions count, whatever the input was (RFC 7845 §4).
const RATE: u64 = 48_000;
/// Samples that a decoder throws away first (RFC 7845 §4.2): 80 ms, what encoders usually say is less.
const PRE_SKIP: u16 = 3_840;
/// Packets of fewer bytes are silence: discontinuous transmission sends one or two (RFC 6716 §2.1.9).
const SILENT_BYTES: usize = 3;
/// The serial number of the one stream that a file of ours has.
const SERIAL: u32 = 0x636f_6e63;

/// One packet of speech.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// The Opus packet.
    pub packet: Vec<u8>,
    /// How long it sounds.
    pub duration: Duration,
}

impl Speech {
    /// A level to claim for it. The packet is not decoded, so this says only whether somebody speaks.
    pub fn level(&self) -> AudioLevel {
        const SPEAKING: u8 = 30;
        let loud = if self.packet.len() < SILENT_BYTES { AudioLevel::SILENCE.negative_dbov() } else { SPEAKING };
        AudioLevel::try_from(loud).unwrap_or(AudioLevel::SILENCE)
    }
}

/// Samples of an Opus packet at 48 kHz, from its first bytes (RFC 6716 §3.1, §3.2); `None` when it is none.
pub fn samples(packet: &[u8]) -> Option<u64> {
    let (toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame: u64 = match config {
        0..=11 => [480, 960, 1_920, 2_880].get(usize::from(config % 4)).copied()?,
        12..=15 => [480, 960].get(usize::from(config % 2)).copied()?,
        _ => [120, 240, 480, 960].get(usize::from(config % 4)).copied()?,
    };
    let frames = match toc & 0x3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(rest.first()? & 0x3f),
    };
    // 120 ms at most (RFC 6716 §3.2.5).
    let samples = frame * frames;
    (1..=RATE * 120 / 1_000).contains(&samples).then_some(samples)
}

fn duration(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000_000 / RATE)
}

/// Reads the packets of a file.
pub fn read(path: &Path) -> Result<Vec<Speech>, ClientError> {
    parse(path, &std::fs::read(path).map_err(|error| fault(path)(&error))?)
}

/// Reads the packets in the bytes of a file; what is wrong is told with its name.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Speech>, ClientError> {
    let fault = fault(path);
    let mut reader = PacketReader::new(Cursor::new(bytes));
    let mut packets = Vec::new();
    let mut place = 0;
    while let Some(packet) = reader.read_packet().map_err(|error| fault(&error))? {
        match place {
            0 if !packet.data.starts_with(b"OpusHead") => return Err(fault(&"is not Ogg Opus")),
            0 | 1 => {}
            _ => {
                let samples = samples(&packet.data).ok_or_else(|| fault(&"holds a packet that is not Opus"))?;
                packets.push(Speech { packet: packet.data, duration: duration(samples) });
            }
        }
        place += 1;
    }
    if packets.is_empty() { Err(fault(&"holds no speech")) } else { Ok(packets) }
}

/// Writes packets as they come into a file that any player plays.
pub struct Writer {
    path: PathBuf,
    packets: PacketWriter<'static, BufWriter<File>>,
    granule: u64,
    /// The last one waits, as the end is marked on it.
    last: Option<(Vec<u8>, u64)>,
}

impl Writer {
    /// Begins a file of one voice.
    pub fn create(path: &Path) -> Result<Self, ClientError> {
        let file = File::create(path).map_err(|error| fault(path)(&error))?;
        let mut packets = PacketWriter::new(BufWriter::new(file));
        // RFC 7845 §5.1: version 1, one channel, pre-skip, input rate, no gain, mapping family 0.
        let mut head = b"OpusHead\x01\x01".to_vec();
        head.extend_from_slice(&PRE_SKIP.to_le_bytes());
        head.extend_from_slice(&48_000_u32.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        // RFC 7845 §5.2: vendor, no comments.
        let vendor = b"Conclave";
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&u32::try_from(vendor.len()).unwrap_or(0).to_le_bytes());
        tags.extend_from_slice(vendor);
        tags.extend_from_slice(&0_u32.to_le_bytes());
        for header in [head, tags] {
            packets
                .write_packet(header, SERIAL, PacketWriteEndInfo::EndPage, 0)
                .map_err(|error| fault(path)(&error))?;
        }
        Ok(Self { path: path.to_owned(), packets, granule: 0, last: None })
    }

    /// Adds a packet; one that is not Opus is refused. `missing` packets of the same length did not arrive before it: the
    /// time goes on, and a player conceals the gap.
    pub fn write(&mut self, packet: &[u8], missing: u64) -> Result<(), ClientError> {
        let samples = samples(packet).ok_or_else(|| fault(&self.path)(&"a packet that arrived is not Opus"))?;
        self.flush(PacketWriteEndInfo::NormalPacket)?;
        self.granule += samples * (missing + 1);
        self.last = Some((packet.to_vec(), self.granule));
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<(), ClientError> {
        self.flush(PacketWriteEndInfo::EndStream)?;
        let file = self.packets.into_inner().into_inner().map_err(|error| fault(&self.path)(error.error()))?;
        file.sync_all().map_err(|error| fault(&self.path)(&error))
    }

    fn flush(&mut self, end: PacketWriteEndInfo) -> Result<(), ClientError> {
        let Some((packet, granule)) = self.last.take() else { return Ok(()) };
        self.packets.write_packet(packet, SERIAL, end, granule).map_err(|error| fault(&self.path)(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/speech.opus")
    }

    #[test]
    fn speech_is_written_as_it_was_read() {
        let speech = read(&fixture()).unwrap();
        assert!(speech.len() > 100 && speech.iter().all(|one| one.duration == Duration::from_millis(20)));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("again.opus");
        let mut writer = Writer::create(&path).unwrap();
        speech.iter().for_each(|one| writer.write(&one.packet, 0).unwrap());
        writer.finish().unwrap();
        assert_eq!(read(&path).unwrap(), speech);
    }

    #[test]
    fn durations_are_those_of_rfc_6716() {
        let check =
            |toc: u8, rest: &[u8], expected| assert_eq!(samples(&[&[toc], rest].concat()), expected, "{toc:#x}");
        check(0b0000_0000, &[], Some(480));
        check(0b0001_1000, &[], Some(2_880));
        check(0b0110_0000, &[], Some(480));
        check(0b1111_1000, &[], Some(960));
        check(0b1111_1001, &[], Some(1_920));
        check(0b1000_0011, &[3], Some(360));
        check(0b0001_1011, &[3], None);
        check(0b1111_1011, &[0], None);
        assert_eq!(samples(&[]), None);
    }

    #[test]
    fn another_file_is_refused_by_name() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/screen.ivf");
        assert!(read(&path).unwrap_err().to_string().contains("screen.ivf"));
    }
}
