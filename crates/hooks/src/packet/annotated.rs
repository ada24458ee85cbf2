//! Writing captures in the pcapng format, with what happened to each packet as its comment.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{CaptureError, LinkType, Timestamp};

/// Bytes gathered before the system is asked to write.
const BUFFER: usize = 256 * 1024;
/// No packet is longer.
const SNAP_LEN: u32 = 262_144;
/// Longest comment.
const COMMENT_MAX: usize = 1024;

/// Blocks and options of the format.
mod code {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const PACKET: u32 = 6;
    pub(super) const COMMENT: u16 = 1;
    pub(super) const IF_NAME: u16 = 2;
    pub(super) const FLAGS: u16 = 2;
    pub(super) const APPLICATION: u16 = 4;
    pub(super) const VERDICT: u16 = 7;
    pub(super) const IF_TSRESOL: u16 = 9;
}

/// Whose verdict a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictOf {
    /// A program of tc.
    Tc = 1,
    /// A program of XDP.
    Xdp = 2,
}

/// A packet of an annotated capture.
#[derive(Clone, Copy, Debug)]
pub struct Annotated<'a> {
    /// The interface, as [`AnnotatedWriter::interface`] numbered it.
    pub interface: u32,
    /// When.
    pub time: Timestamp,
    /// Its bytes.
    pub data: &'a [u8],
    /// It comes in by the interface; otherwise it leaves.
    pub inbound: bool,
    /// What happened to it.
    pub comment: &'a str,
    /// A program's verdict, which readers of the format know by number.
    pub verdict: Option<(VerdictOf, u32)>,
}

/// A pcapng file that is being written.
pub struct AnnotatedWriter {
    file: String,
    out: BufWriter<Box<dyn Write + Send>>,
    interfaces: u32,
    packets: u64,
    block: Vec<u8>,
}

impl AnnotatedWriter {
    /// Makes or empties the file at `path`, `-` is the standard output, and writes its header.
    pub fn create(path: &Path) -> Result<AnnotatedWriter, CaptureError> {
        if path == Path::new("-") {
            return AnnotatedWriter::new("standard output", Box::new(io::stdout()));
        }
        let file = path.display().to_string();
        match File::create(path) {
            Ok(out) => AnnotatedWriter::new(&file, Box::new(out)),
            Err(source) => Err(CaptureError::Open { file, source }),
        }
    }

    /// Writes the header to any sink; `name` appears in messages.
    pub fn new(name: &str, sink: Box<dyn Write + Send>) -> Result<AnnotatedWriter, CaptureError> {
        let out = BufWriter::with_capacity(BUFFER, sink);
        let file = name.to_owned();
        let (interfaces, packets, block) = (0, 0, Vec::new());
        let mut writer = AnnotatedWriter { file, out, interfaces, packets, block };
        // Magic number, version 1.0, a length that is not known.
        let mut head = Vec::new();
        head.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        head.extend_from_slice(&[1, 0, 0, 0]);
        head.extend_from_slice(&u64::MAX.to_le_bytes());
        option(&mut head, code::APPLICATION, b"ring3");
        end_of_options(&mut head);
        writer.put(code::SECTION, &head)?;
        Ok(writer)
    }

    /// Describes an Ethernet interface; its number.
    pub fn interface(&mut self, name: &str) -> Result<u32, CaptureError> {
        /// Nanoseconds.
        const RESOLUTION: u8 = 9;
        let mut body = Vec::new();
        body.extend_from_slice(&LinkType::ETHERNET.0.to_le_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&SNAP_LEN.to_le_bytes());
        option(&mut body, code::IF_NAME, name.as_bytes());
        option(&mut body, code::IF_TSRESOL, &[RESOLUTION]);
        end_of_options(&mut body);
        self.put(code::INTERFACE, &body)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Appends a packet.
    pub fn write(&mut self, packet: &Annotated<'_>) -> Result<(), CaptureError> {
        let time = u128::from(packet.time.secs) * 1_000_000_000 + u128::from(packet.time.nanos);
        let time = time as u64;
        let kept = packet.data.len().min(SNAP_LEN as usize);
        let mut body = std::mem::take(&mut self.block);
        body.clear();
        let words = [
            packet.interface,
            (time >> 32) as u32,
            time as u32,
            kept as u32,
            packet.data.len() as u32,
        ];
        words.iter().for_each(|word| body.extend_from_slice(&word.to_le_bytes()));
        body.extend_from_slice(&packet.data[..kept]);
        pad(&mut body);
        let direction: u32 = if packet.inbound { 1 } else { 2 };
        option(&mut body, code::COMMENT, cut(packet.comment).as_bytes());
        option(&mut body, code::FLAGS, &direction.to_le_bytes());
        if let Some((of, value)) = packet.verdict {
            let mut bytes = [0; 9];
            bytes[0] = of as u8;
            // Signed, as TC_ACT_UNSPEC is -1.
            bytes[1..].copy_from_slice(&i64::from(value as i32).to_le_bytes());
            option(&mut body, code::VERDICT, &bytes);
        }
        end_of_options(&mut body);
        let done = self.put(code::PACKET, &body);
        self.block = body;
        self.packets += 1;
        done
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

    fn put(&mut self, kind: u32, body: &[u8]) -> Result<(), CaptureError> {
        let len = (body.len() + 12) as u32;
        let words = [kind.to_le_bytes(), len.to_le_bytes()];
        let written = self
            .out
            .write_all(words.as_flattened())
            .and_then(|()| self.out.write_all(body))
            .and_then(|()| self.out.write_all(&len.to_le_bytes()));
        written.map_err(|source| CaptureError::Write { file: self.file.clone(), source })
    }
}

/// At most so many bytes of a text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(COMMENT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend_from_slice(&[0; 4]);
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use pcap_parser::pcapng::Block;
    use pcap_parser::traits::PcapNGPacketBlock;
    use pcap_parser::{OptionCode, PcapError, PcapNGReader, traits::PcapReaderIterator};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn another_reader_finds_packets_and_comments() {
        let kept = Kept::default();
        let mut writer = AnnotatedWriter::new("test", Box::new(kept.clone())).unwrap();
        let eth0 = writer.interface("host/eth0").unwrap();
        for len in [14, 15, 60, 1501] {
            let data = vec![7; len];
            let time = Timestamp { secs: 1_700_000_000, nanos: 123_456_789 };
            let verdict = Some((VerdictOf::Xdp, 2));
            let comment = "xdp pass: XDP_PASS";
            let packet =
                Annotated { interface: eth0, time, data: &data, inbound: true, comment, verdict };
            writer.write(&packet).unwrap();
        }
        writer.flush().unwrap();
        let bytes = kept.0.lock().unwrap().clone();
        let mut reader = PcapNGReader::new(65536, &bytes[..]).unwrap();
        let mut lens = Vec::new();
        loop {
            match reader.next() {
                Ok((used, block)) => {
                    if let pcap_parser::PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = &block {
                        lens.push(packet.caplen as usize);
                        assert_eq!(packet.packet_data()[..14], [7; 14]);
                        let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                        assert_eq!(ticks, 1_700_000_000_123_456_789);
                        let codes: Vec<_> = packet.options.iter().map(|o| o.code.0).collect();
                        assert_eq!(codes, [1, 2, 7, 0]);
                        assert_eq!(packet.options[0].code, OptionCode::Comment);
                        assert!(packet.options[0].value.starts_with(b"xdp pass: XDP_PASS"));
                        assert_eq!(packet.options[2].value[..9], [2, 2, 0, 0, 0, 0, 0, 0, 0]);
                    }
                    reader.consume(used);
                }
                Err(PcapError::Eof) => break,
                Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(lens, [14, 15, 60, 1501]);
    }
}
