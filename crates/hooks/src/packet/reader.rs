//! Reading captures, whichever their format.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::input::Input;
use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::writer::Precision;
use super::{CaptureError, LinkType};

/// Time since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds.
    pub secs: u64,
    /// Nanoseconds of the second.
    pub nanos: u32,
}

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was seen.
    pub time: Timestamp,
    /// Bytes it had on the wire; more than `data` if the capture cut it.
    pub orig_len: u32,
    /// What its first byte is the first byte of.
    pub link_type: LinkType,
    /// The bytes captured.
    pub data: &'a [u8],
}

/// A stream of packets out of a pcap or pcapng file.
pub struct CaptureReader {
    input: Input,
    format: Format,
    /// After an error or the end: nothing more comes.
    done: bool,
}

enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

/// A packet whose bytes are the next of the input.
pub(super) struct Head {
    pub(super) time: Timestamp,
    pub(super) orig_len: u32,
    pub(super) link_type: LinkType,
    /// Bytes before the data, the data, bytes after it.
    pub(super) span: [usize; 3],
}

impl CaptureReader {
    /// Opens the capture at `path`; `-` is the standard input.
    pub fn open(path: &Path) -> Result<CaptureReader, CaptureError> {
        if path == Path::new("-") {
            return CaptureReader::new("standard input", Box::new(io::stdin()));
        }
        let file = path.display().to_string();
        match File::open(path) {
            Ok(source) => CaptureReader::new(&file, Box::new(source)),
            Err(source) => Err(CaptureError::Open { file, source }),
        }
    }

    /// Reads the header of a capture from any source; `name` appears in messages.
    pub fn new(name: &str, source: Box<dyn Read + Send>) -> Result<CaptureReader, CaptureError> {
        let mut input = Input::new(name, source);
        let format = detect(&mut input)?;
        Ok(CaptureReader { input, format, done: false })
    }

    /// The next packet, or nothing at the end of the file; after an error nothing more comes.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        if self.done {
            return Ok(None);
        }
        let head = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.input),
            Format::PcapNg(ng) => ng.next(&mut self.input),
        };
        match head {
            Ok(Some(head)) => {
                self.input.packets += 1;
                let [before, len, after] = head.span;
                let bytes = self.input.take(before + len + after);
                Ok(Some(Packet {
                    time: head.time,
                    orig_len: head.orig_len,
                    link_type: head.link_type,
                    data: &bytes[before..before + len],
                }))
            }
            Ok(None) => {
                self.done = true;
                Ok(None)
            }
            Err(error) => {
                self.done = true;
                Err(error)
            }
        }
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        self.input.file()
    }

    /// Bytes of the file used so far.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// Packets delivered so far.
    pub fn packets(&self) -> u64 {
        self.input.packets
    }

    /// The precision that a copy needs to lose nothing.
    pub fn precision(&self) -> Precision {
        match &self.format {
            Format::Pcap(pcap) => pcap.precision(),
            Format::PcapNg(_) => Precision::Nanos,
        }
    }
}

fn detect(input: &mut Input) -> Result<Format, CaptureError> {
    let have = input.want(4)?;
    let magic = input.peek(have);
    match magic {
        [0x0a, 0x0d, 0x0d, 0x0a] => Ok(Format::PcapNg(PcapNg::new())),
        [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0xc3, 0xd4]
        | [0x4d, 0x3c, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d]
        | [0x34, 0xcd, 0xb2, 0xa1] => Ok(Format::Pcap(Pcap::open(input)?)),
        _ => {
            let what = foreign(magic);
            Err(CaptureError::NotACapture { file: input.file().to_owned(), what })
        }
    }
}

fn foreign(magic: &[u8]) -> &'static str {
    match magic {
        [] => "the file is empty",
        [0x1f, 0x8b, ..] => "it is compressed by gzip, decompress it first",
        [0x28, 0xb5, 0x2f, 0xfd] => "it is compressed by zstd, decompress it first",
        [0x7f, b'E', b'L', b'F'] => "it is an ELF object",
        _ => "its first bytes are no known magic number",
    }
}
