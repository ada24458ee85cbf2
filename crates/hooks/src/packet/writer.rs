//! Writing captures in the classic pcap format.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{CaptureError, LinkType, Packet};

/// Bytes gathered before the system is asked to write.
const BUFFER: usize = 256 * 1024;

/// The unit of a capture's time stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// A pcap file that is being written.
pub struct CaptureWriter {
    file: String,
    out: BufWriter<Box<dyn Write + Send>>,
    precision: Precision,
    packets: u64,
}

impl CaptureWriter {
    /// Makes or empties the file at `path`, `-` is the standard output, and writes its header.
    pub fn create(
        path: &Path,
        link_type: LinkType,
        precision: Precision,
    ) -> Result<CaptureWriter, CaptureError> {
        if path == Path::new("-") {
            return CaptureWriter::new(
                "standard output",
                Box::new(io::stdout()),
                link_type,
                precision,
            );
        }
        let file = path.display().to_string();
        match File::create(path) {
            Ok(out) => CaptureWriter::new(&file, Box::new(out), link_type, precision),
            Err(source) => Err(CaptureError::Open { file, source }),
        }
    }

    /// Writes the header to any sink; `name` appears in messages.
    pub fn new(
        name: &str,
        sink: Box<dyn Write + Send>,
        link_type: LinkType,
        precision: Precision,
    ) -> Result<CaptureWriter, CaptureError> {
        let mut out = BufWriter::with_capacity(BUFFER, sink);
        let file = name.to_owned();
        match out.write_all(&header(link_type, precision)) {
            Ok(()) => Ok(CaptureWriter { file, out, precision, packets: 0 }),
            Err(source) => Err(CaptureError::Write { file, source }),
        }
    }

    /// Appends a packet; its link type is the file's.
    pub fn write(&mut self, packet: &Packet<'_>) -> Result<(), CaptureError> {
        let Ok(secs) = u32::try_from(packet.time.secs) else {
            return Err(CaptureError::Time {
                file: self.file.clone(),
                packet: self.packets,
                secs: packet.time.secs,
            });
        };
        let fraction = match self.precision {
            Precision::Micros => packet.time.nanos / 1000,
            Precision::Nanos => packet.time.nanos,
        };
        let len = packet.data.len() as u32;
        let words = [secs, fraction, len, packet.orig_len.max(len)];
        let mut head = [0; 16];
        for (slot, word) in head.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        self.packets += 1;
        self.out
            .write_all(&head)
            .and_then(|()| self.out.write_all(packet.data))
            .map_err(|source| CaptureError::Write { file: self.file.clone(), source })
    }

    /// Packets written so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Hands the bytes so far to the system.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        let file = &self.file;
        self.out.flush().map_err(|source| CaptureError::Write { file: file.clone(), source })
    }

    /// Hands the last bytes to the system.
    pub fn finish(mut self) -> Result<(), CaptureError> {
        self.out.flush().map_err(|source| CaptureError::Write { file: self.file, source })
    }
}

fn header(link_type: LinkType, precision: Precision) -> [u8; 24] {
    let magic: u32 = match precision {
        Precision::Micros => 0xa1b2_c3d4,
        Precision::Nanos => 0xa1b2_3c4d,
    };
    /// What `tcpdump` writes: no packet is longer.
    const SNAP_LEN: u32 = 262_144;
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&magic.to_le_bytes());
    bytes[4..6].copy_from_slice(&2u16.to_le_bytes());
    bytes[6..8].copy_from_slice(&4u16.to_le_bytes());
    bytes[16..20].copy_from_slice(&SNAP_LEN.to_le_bytes());
    bytes[20..24].copy_from_slice(&u32::from(link_type.0).to_le_bytes());
    bytes
}
