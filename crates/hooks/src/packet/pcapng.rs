//! The pcapng format: sections of blocks, packets that name their interface.

use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le};

use super::input::{Input, MAX_BLOCK};
use super::reader::Head;
use super::{CaptureError, LinkType, Timestamp};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Most interfaces of one section that are kept.
const MAX_INTERFACES: usize = 65_536;

/// What the blocks so far say about the packets to come.
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy)]
struct Interface {
    link_type: LinkType,
    snap_len: u32,
    /// Time units in a second.
    units: u64,
    /// Seconds added to every time.
    offset: i64,
}

impl PcapNg {
    pub(super) fn new() -> PcapNg {
        PcapNg { big_endian: false, interfaces: Vec::new() }
    }

    pub(super) fn next(&mut self, input: &mut Input) -> Result<Option<Head>, CaptureError> {
        loop {
            if input.want(12)? == 0 {
                return Ok(None);
            }
            let len = self.block(input)?;
            let kind = self.word(input.peek(len), 0);
            let head = match kind {
                ENHANCED_PACKET => Some(self.enhanced(input, len)?),
                SIMPLE_PACKET => Some(self.simple(input, len)?),
                OLD_PACKET => Some(self.old(input, len)?),
                SECTION_HEADER => {
                    self.interfaces.clear();
                    None
                }
                INTERFACE => {
                    self.interface(input, len)?;
                    None
                }
                _ => None,
            };
            if head.is_some() {
                return Ok(head);
            }
            input.take(len);
        }
    }

    /// Makes the next block available; its length.
    fn block(&mut self, input: &mut Input) -> Result<usize, CaptureError> {
        let bytes = input.need(12, "a block's header")?;
        if bytes[..4] == SECTION_HEADER.to_le_bytes() {
            self.big_endian = match bytes[8..12] {
                [0x1a, 0x2b, 0x3c, 0x4d] => true,
                [0x4d, 0x3c, 0x2b, 0x1a] => false,
                _ => return Err(input.damaged("a section header without a byte-order mark")),
            };
        }
        let len = self.word(bytes, 4) as usize;
        if len < 12 || !len.is_multiple_of(4) || len > MAX_BLOCK {
            return Err(input.damaged(format!("a block of {len} bytes")));
        }
        let bytes = input.need(len, "a block")?;
        if self.word(bytes, len - 4) as usize != len {
            return Err(input.damaged("a block whose two lengths differ"));
        }
        Ok(len)
    }

    fn interface(&mut self, input: &Input, len: usize) -> Result<(), CaptureError> {
        let parse = if self.big_endian { parse_block_be } else { parse_block_le };
        let Ok((_, Block::InterfaceDescription(block))) = parse(input.peek(len)) else {
            return Err(input.damaged("an interface description that does not parse"));
        };
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(input.damaged(format!("more than {MAX_INTERFACES} interfaces")));
        }
        let units = units(block.if_tsresol)
            .ok_or_else(|| input.damaged(format!("a time resolution of {}", block.if_tsresol)))?;
        self.interfaces.push(Interface {
            link_type: LinkType(block.linktype.0 as u16),
            snap_len: block.snaplen,
            units,
            offset: block.if_tsoffset,
        });
        Ok(())
    }

    fn enhanced(&self, input: &Input, len: usize) -> Result<Head, CaptureError> {
        let fields = self.header::<7>(input, len)?;
        let [_, _, id, high, low, cap_len, orig_len] = fields;
        let interface = self.named(input, id)?;
        self.head(input, len, interface, (high, low), 28, cap_len, orig_len)
    }

    fn old(&self, input: &Input, len: usize) -> Result<Head, CaptureError> {
        let [_, _, both, high, low, cap_len, orig_len] = self.header::<7>(input, len)?;
        let id = if self.big_endian { both >> 16 } else { both & 0xffff };
        let interface = self.named(input, id)?;
        self.head(input, len, interface, (high, low), 28, cap_len, orig_len)
    }

    fn simple(&self, input: &Input, len: usize) -> Result<Head, CaptureError> {
        let [_, _, orig_len] = self.header::<3>(input, len)?;
        let interface = self.named(input, 0)?;
        let limit = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
        self.head(input, len, interface, (0, 0), 12, orig_len.min(limit), orig_len)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one block, read by three callers")]
    fn head(
        &self,
        input: &Input,
        len: usize,
        interface: Interface,
        (high, low): (u32, u32),
        before: usize,
        cap_len: u32,
        orig_len: u32,
    ) -> Result<Head, CaptureError> {
        let data = cap_len as usize;
        let Some(after) = len.checked_sub(before + data).filter(|after| *after >= 4) else {
            return Err(input.damaged(format!("a packet of {data} bytes in a block of {len}")));
        };
        let ticks = u64::from(high) << 32 | u64::from(low);
        let time = interface.time(ticks);
        Ok(Head { time, orig_len, link_type: interface.link_type, span: [before, data, after] })
    }

    fn named(&self, input: &Input, id: u32) -> Result<Interface, CaptureError> {
        self.interfaces.get(id as usize).copied().ok_or_else(|| {
            input.damaged(format!("a packet of interface {id}, which is not described"))
        })
    }

    fn header<const N: usize>(&self, input: &Input, len: usize) -> Result<[u32; N], CaptureError> {
        if len < (N + 1) * 4 {
            return Err(input.damaged(format!("a packet block of {len} bytes")));
        }
        let bytes = input.peek(len);
        Ok(std::array::from_fn(|at| self.word(bytes, at * 4)))
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let raw = std::array::from_fn(|byte| bytes[at + byte]);
        if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    }
}

impl Interface {
    fn time(&self, ticks: u64) -> Timestamp {
        let secs = (ticks / self.units).saturating_add_signed(self.offset);
        let nanos = u128::from(ticks % self.units) * 1_000_000_000 / u128::from(self.units);
        Timestamp { secs, nanos: nanos as u32 }
    }
}

/// Time units in a second from `if_tsresol`: a power of ten, or of two with the top bit set.
fn units(resolution: u8) -> Option<u64> {
    let exponent = u32::from(resolution & 0x7f);
    if resolution & 0x80 == 0 { 10u64.checked_pow(exponent) } else { 1u64.checked_shl(exponent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions_are_powers_of_ten_or_two() {
        let rows =
            [(6, Some(1_000_000)), (0x8a, Some(1024)), (0, Some(1)), (20, None), (0xff, None)];
        for (byte, want) in rows {
            assert_eq!(units(byte), want, "{byte:#x}");
        }
    }
}
