//! The classic pcap format: a file header, then packets each with a header of 16 bytes.

use pcap_parser::{PcapHeader, parse_pcap_header};

use super::input::{Input, MAX_BLOCK};
use super::reader::Head;
use super::writer::Precision;
use super::{CaptureError, LinkType, Timestamp};

const FILE_HEADER: usize = 24;

/// What the file header says about every packet.
pub(super) struct Pcap {
    big_endian: bool,
    nanos: bool,
    /// Bytes of a packet's header: 16, or 24 in Kuznetzov's variant.
    header: usize,
    link_type: LinkType,
}

impl Pcap {
    pub(super) fn open(input: &mut Input) -> Result<Pcap, CaptureError> {
        let bytes = input.need(FILE_HEADER, "the file header")?;
        let Ok((_, header)) = parse_pcap_header(bytes) else {
            return Err(input.damaged("the file header does not parse"));
        };
        check_version(input, &header)?;
        input.take(FILE_HEADER);
        Ok(Pcap {
            big_endian: header.is_bigendian(),
            nanos: header.is_nanosecond_precision(),
            header: if header.is_modified_format() { 24 } else { 16 },
            // The upper half holds the length of the frame check sequence.
            link_type: LinkType(header.network.0 as u16),
        })
    }

    pub(super) fn precision(&self) -> Precision {
        if self.nanos { Precision::Nanos } else { Precision::Micros }
    }

    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<Head>, CaptureError> {
        if input.want(self.header)? == 0 {
            return Ok(None);
        }
        let bytes = input.need(self.header, "a packet's header")?;
        let [secs, fraction, len, orig_len] = self.fields(bytes);
        if len as usize > MAX_BLOCK {
            return Err(input.damaged(format!("a packet of {len} bytes")));
        }
        input.need(self.header + len as usize, "a packet")?;
        Ok(Some(Head {
            time: self.time(secs, fraction),
            orig_len,
            link_type: self.link_type,
            span: [self.header, len as usize, 0],
        }))
    }

    /// Fractions of more than a second, which some tools write, are carried over.
    fn time(&self, secs: u32, fraction: u32) -> Timestamp {
        let nanos = u64::from(fraction) * if self.nanos { 1 } else { 1000 };
        let secs = u64::from(secs) + nanos / 1_000_000_000;
        Timestamp { secs, nanos: (nanos % 1_000_000_000) as u32 }
    }

    fn fields(&self, bytes: &[u8]) -> [u32; 4] {
        std::array::from_fn(|at| {
            let raw = std::array::from_fn(|byte| bytes[at * 4 + byte]);
            if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
        })
    }
}

fn check_version(input: &Input, header: &PcapHeader) -> Result<(), CaptureError> {
    match (header.version_major, header.version_minor) {
        (2, _) => Ok(()),
        (major, minor) => Err(input.damaged(format!("version {major}.{minor} of the format"))),
    }
}
