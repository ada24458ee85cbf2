//! `struct virtio_net_hdr`: what is left to do about a frame's checksum and segments.

use super::sys::packet::VNET_LEN;

const NEEDS_CSUM: u8 = 1;
/// Segmentation kinds without the flag for ECN.
const GSO: u8 = 0x7f;
const TCP4: u8 = 1;
const TCP6: u8 = 4;

/// The header before a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Vnet {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    /// Bytes of each segment.
    pub(super) gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl Vnet {
    pub(super) fn parse(bytes: [u8; VNET_LEN]) -> Vnet {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Vnet {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: half(2),
            gso_size: half(4),
            csum_start: half(6),
            csum_offset: half(8),
        }
    }

    pub(super) fn bytes(&self) -> [u8; VNET_LEN] {
        let mut bytes = [0; VNET_LEN];
        (bytes[0], bytes[1]) = (self.flags, self.gso_type);
        let halves = [self.hdr_len, self.gso_size, self.csum_start, self.csum_offset];
        for (slot, half) in bytes[2..].chunks_exact_mut(2).zip(halves) {
            slot.copy_from_slice(&half.to_ne_bytes());
        }
        bytes
    }

    /// Whether the frame stands for several.
    pub(super) fn is_many(&self) -> bool {
        self.gso_type & GSO != 0 && self.gso_size != 0
    }

    /// Segments of a frame of so many bytes.
    pub(super) fn segments(&self, len: usize) -> u32 {
        if !self.is_many() {
            return 0;
        }
        let payload = len.saturating_sub(self.hdr_len.into());
        payload.div_ceil(self.gso_size.into()) as u32
    }

    /// The frame begins `by` bytes earlier than it did; `false` if what is left to do cannot be
    /// done any more.
    pub(super) fn grow(&mut self, by: isize) -> bool {
        let moved = |at: u16| u16::try_from(isize::try_from(at).ok()? + by).ok();
        if by == 0 || (self.flags & NEEDS_CSUM == 0 && !self.is_many()) {
            return true;
        }
        let (Some(start), Some(len)) = (moved(self.csum_start), moved(self.hdr_len)) else {
            return false;
        };
        (self.csum_start, self.hdr_len) = (start, len);
        true
    }

    /// Programs may have rewritten the headers of a frame whose checksum is left to do: its field
    /// holds the sum of the pseudo header, whatever they put there, and the kind of segments is
    /// that of the IP header.
    pub(super) fn settle(&mut self, frame: &[u8], put: impl FnOnce(usize, [u8; 2])) {
        if self.flags & NEEDS_CSUM == 0 {
            return;
        }
        let start = usize::from(self.csum_start);
        let Some((sum, ipv6)) = pseudo_header(frame, start) else { return };
        put(start + usize::from(self.csum_offset), sum.to_be_bytes());
        self.gso_type = match (self.gso_type & GSO, ipv6) {
            (TCP4, true) => self.gso_type & !GSO | TCP6,
            (TCP6, false) => self.gso_type & !GSO | TCP4,
            _ => self.gso_type,
        };
        /// Of TCP's checksum in its header; UDP's is elsewhere.
        const TCP_CHECKSUM: u16 = 16;
        if self.csum_offset == TCP_CHECKSUM
            && let Some(offset) = frame.get(start + 12)
        {
            self.hdr_len = self.csum_start + u16::from(offset >> 4) * 4;
        }
    }

    /// Does what is left to do about the checksum of one frame, as a network card would.
    pub(super) fn complete(&self, frame: &mut [u8]) {
        let start = usize::from(self.csum_start);
        let at = start + usize::from(self.csum_offset);
        if self.flags & NEEDS_CSUM == 0 || self.is_many() || !self.fits(frame.len()) {
            return;
        }
        let Some((pseudo, _)) = pseudo_header(frame, start) else { return };
        frame[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        let sum = !fold(sum(&frame[start..]));
        let sum = if sum == 0 { u16::MAX } else { sum };
        frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// The frame has `len` bytes now: a place beyond its end is none.
    pub(super) fn fits(&self, len: usize) -> bool {
        let place = usize::from(self.csum_start) + usize::from(self.csum_offset) + 2;
        self.flags & NEEDS_CSUM == 0 || place <= len
    }
}

/// The sum of 16-bit words, big endian.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let words = words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>();
    words + rest.first().map_or(0, |byte| u64::from(*byte) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of the pseudo header of the transport header at `start`, if that is behind the frame's
/// first IP header; whether it is IPv6.
fn pseudo_header(frame: &[u8], start: usize) -> Option<(u16, bool)> {
    const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
    let mut at = 12;
    let mut kind: [u8; 2] = *frame.get(at..)?.first_chunk()?;
    while TAGS.contains(&kind) {
        at += 4;
        kind = *frame.get(at..)?.first_chunk()?;
    }
    let ip = frame.get(at + 2..)?;
    let transport = start.checked_sub(at + 2)?;
    let (addresses, protocol, len) = match kind {
        [0x08, 0x00] => {
            let header = usize::from(ip.first()? & 15) * 4;
            let total = usize::from(u16::from_be_bytes(*ip.get(2..)?.first_chunk()?));
            let total = if total == 0 { ip.len() } else { total };
            if header != transport {
                return None;
            }
            (ip.get(12..20)?, *ip.get(9)?, total.checked_sub(header)?)
        }
        [0x86, 0xdd] => {
            let payload = usize::from(u16::from_be_bytes(*ip.get(4..)?.first_chunk()?));
            let payload = if payload == 0 { ip.len().checked_sub(40)? } else { payload };
            // Extension headers: the protocol is that of the place of the checksum.
            let protocol = if transport == 40 { *ip.get(6)? } else { return None };
            (ip.get(8..40)?, protocol, payload)
        }
        _ => return None,
    };
    Some((fold(sum(addresses) + u64::from(protocol) + len as u64), kind == [0x86, 0xdd]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP frame over IPv4 of 3000 bytes of data, as the kernel gives it.
    const TCP: Vnet = Vnet {
        flags: 1,
        gso_type: 1,
        hdr_len: 66,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };

    #[test]
    fn bytes_are_linux_s() {
        // flags, type, lengths of header and segment, place of the checksum, little endian.
        let bytes = [1, 1, 66, 0, 0xa8, 5, 34, 0, 16, 0];
        assert_eq!(TCP.bytes(), bytes);
        assert_eq!(Vnet::parse(bytes), TCP);
    }

    #[test]
    fn segments_are_counted() {
        assert_eq!(TCP.segments(66 + 3000), 3);
        assert_eq!(TCP.segments(66 + 1448 * 2), 2);
        assert_eq!(Vnet::default().segments(1500), 0);
    }

    /// UDP from 10.0.0.1:1 to 10.0.0.2:2 with the data "hi"; the checksum by hand:
    /// 0a00+0001+0a00+0002 (addresses) + 0011 (UDP) + 000a (length) = 141e; + 0001+0002 (ports)
    /// + 000a (length) + 6869 (data) = 7c94; complement 836b.
    #[test]
    fn checksums_are_completed_and_restored() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 10, 0xab, 0xcd]);
        frame.extend_from_slice(b"hi");
        let mut udp = Vnet { flags: 1, csum_start: 34, csum_offset: 6, ..Vnet::default() };
        let mut put = None;
        udp.settle(&frame, |at, sum| put = Some((at, sum)));
        assert_eq!(put, Some((40, [0x14, 0x1e])));
        udp.complete(&mut frame);
        assert_eq!(frame[40..42], [0x83, 0x6b]);
        // A header elsewhere than the checksum's place says nothing about it.
        let mut inner = Vnet { csum_start: 54, ..udp };
        inner.settle(&frame, |_, _| panic!("not this one"));
    }

    #[test]
    fn the_checksum_moves_with_the_head() {
        let mut longer = TCP;
        assert!(longer.grow(8));
        assert_eq!((longer.csum_start, longer.hdr_len), (42, 74));
        let mut cut = TCP;
        assert!(!cut.grow(-40));
        assert!(TCP.fits(52) && !TCP.fits(51));
    }
}
