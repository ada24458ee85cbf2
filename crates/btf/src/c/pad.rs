//! Holes in structs: which are C's own, and which need an unnamed bit-field.

use crate::ty::Type;

use super::Dumper;

/// Types that pad, widest first, with their bits.
const PADS: [(&str, u64); 4] = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];

impl<'a> Dumper<'a> {
    /// Whether C would lay the struct out like this only if packed.
    pub(super) fn is_packed(&mut self, ty: &Type<'a>) -> bool {
        let mut widest = 1;
        for member in ty.members() {
            let align = self.align(member.type_id);
            let aligned = align == 0 || member.bit_offset.is_multiple_of(8 * align);
            if member.bitfield_size == 0 && !aligned {
                return true;
            }
            widest = widest.max(align);
        }
        !ty.size_or_type.is_multiple_of(widest)
    }

    /// Fills the bits from `from` up to `to`, where something aligned to `align` bytes follows.
    pub(super) fn pad(&mut self, from: u64, to: u64, align: u32, between_bits: bool, level: u32) {
        if from >= to {
            return;
        }
        let widest = PADS.iter().find(|(_, bits)| from.next_multiple_of(*bits) <= to);
        // With less than a byte to go nothing aligns; the remainder takes it.
        let &(name, width) = widest.unwrap_or(&PADS[3]);
        let mut at = from;
        let aligned = from.next_multiple_of(width);
        if aligned > from && aligned <= to {
            // `long: 0` moves to the next boundary; needed where the next member's own alignment
            // would not, or where the padding after it would fit before the boundary.
            let natural = from.next_multiple_of(u64::from(align.max(1)) * 8) == aligned;
            let fits_before = aligned != to && to - aligned <= aligned - from;
            if between_bits {
                self.pad_line(name, aligned - from, level);
            } else if aligned == to && !natural || fits_before {
                self.pad_line(name, 0, level);
            }
            at = aligned;
        }
        while to - at >= width && !self.full {
            self.pad_line(name, width, level);
            at += width;
        }
        if to > at && !self.full {
            let bits = to - at;
            let smallest = PADS.iter().rev().find(|(_, width)| *width >= bits);
            self.pad_line(smallest.map_or(name, |(name, _)| name), bits, level);
        }
    }

    fn pad_line(&mut self, name: &str, bits: u64, level: u32) {
        self.push("\n");
        self.indent(level);
        self.push(&format!("{name}: {bits};"));
    }
}
