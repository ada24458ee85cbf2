//! `struct virtio_net_hdr`: what is left to do about a frame's checksum and segments.

use super::sys::packet::VNET_LEN;

const NEEDS_CSUM: u8 = 1;
/// Segmentation kinds without the flag for ECN.
const GSO: u8 = 0x7f;

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

    /// The frame has `len` bytes now: a place beyond its end is none.
    pub(super) fn fits(&self, len: usize) -> bool {
        let place = usize::from(self.csum_start) + usize::from(self.csum_offset) + 2;
        self.flags & NEEDS_CSUM == 0 || place <= len
    }
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
