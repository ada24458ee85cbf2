//! Tristate numbers: each bit is 0, 1 or unknown.

/// A set of 64-bit numbers: bits of `mask` are unknown, the others equal those of `value`.
/// Invariant: `value & mask == 0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tnum {
    /// Known bits.
    pub(crate) value: u64,
    /// Unknown bits.
    pub(crate) mask: u64,
}

impl Tnum {
    /// Every number.
    pub(crate) const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// Exactly `value`.
    pub(crate) const fn constant(value: u64) -> Tnum {
        Tnum { value, mask: 0 }
    }

    /// The smallest tnum that holds every number of `min..=max`; unknown if the range is empty.
    pub(crate) const fn range(min: u64, max: u64) -> Tnum {
        let differing = 64 - (min ^ max).leading_zeros();
        if differing > 63 {
            return Tnum::UNKNOWN;
        }
        let mask = (1u64 << differing) - 1;
        Tnum { value: min & !mask, mask }
    }

    /// Whether exactly one number is left.
    pub(crate) const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether nothing is known.
    pub(crate) const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// Shift left by a known amount below 64.
    pub(crate) const fn shl(self, by: u8) -> Tnum {
        Tnum { value: self.value << by, mask: self.mask << by }
    }

    /// Logical shift right by a known amount below 64.
    pub(crate) const fn shr(self, by: u8) -> Tnum {
        Tnum { value: self.value >> by, mask: self.mask >> by }
    }

    /// Arithmetic shift right of the low `bits` (32 or 64): the sign may be unknown too.
    pub(crate) const fn sar(self, by: u8, bits: u8) -> Tnum {
        if bits == 32 {
            let value = ((self.value as i32) >> by) as u32 as u64;
            let mask = ((self.mask as i32) >> by) as u32 as u64;
            Tnum { value, mask }
        } else {
            Tnum {
                value: ((self.value as i64) >> by) as u64,
                mask: ((self.mask as i64) >> by) as u64,
            }
        }
    }

    /// Sum: a carry is known where the smallest and the largest sum agree.
    pub(crate) const fn add(self, other: Tnum) -> Tnum {
        let all_unknown_set = self.mask.wrapping_add(other.mask);
        let low = self.value.wrapping_add(other.value);
        let high = low.wrapping_add(all_unknown_set);
        let mask = (low ^ high) | self.mask | other.mask;
        Tnum { value: low & !mask, mask }
    }

    /// Difference.
    pub(crate) const fn sub(self, other: Tnum) -> Tnum {
        let mid = self.value.wrapping_sub(other.value);
        let high = mid.wrapping_add(self.mask);
        let low = mid.wrapping_sub(other.mask);
        let mask = (high ^ low) | self.mask | other.mask;
        Tnum { value: mid & !mask, mask }
    }

    /// Bitwise and.
    pub(crate) const fn and(self, other: Tnum) -> Tnum {
        let maybe = (self.value | self.mask) & (other.value | other.mask);
        let value = self.value & other.value;
        Tnum { value, mask: maybe & !value }
    }

    /// Bitwise or.
    pub(crate) const fn or(self, other: Tnum) -> Tnum {
        let value = self.value | other.value;
        Tnum { value, mask: (self.mask | other.mask) & !value }
    }

    /// Bitwise exclusive or.
    pub(crate) const fn xor(self, other: Tnum) -> Tnum {
        let mask = self.mask | other.mask;
        Tnum { value: (self.value ^ other.value) & !mask, mask }
    }

    /// Product by long multiplication: an unknown bit of the multiplier adds either nothing or
    /// the shifted multiplicand, so both partial sums are united (Linux 6.18).
    pub(crate) fn mul(self, other: Tnum) -> Tnum {
        let (mut a, mut b) = (self, other);
        let mut acc = Tnum::constant(0);
        while a.value != 0 || a.mask != 0 {
            Tnum::mul_step(&mut a, &mut b, &mut acc);
        }
        acc
    }

    /// One bit of the multiplier `a`. What stays the same, and is proven: for numbers x in `a`,
    /// y in `b`, s in `acc`, the sum s + x * y.
    pub(crate) fn mul_step(a: &mut Tnum, b: &mut Tnum, acc: &mut Tnum) {
        if a.value & 1 != 0 {
            *acc = acc.add(*b);
        } else if a.mask & 1 != 0 {
            *acc = acc.union(acc.add(*b));
        }
        (*a, *b) = (a.shr(1), b.shl(1));
    }

    /// The smallest tnum that holds both (join).
    pub(crate) const fn union(self, other: Tnum) -> Tnum {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Tnum { value: self.value & other.value & !mask, mask }
    }

    /// Numbers in both (meet); where known bits contradict, a bit set in either is set.
    pub(crate) const fn intersect(self, other: Tnum) -> Tnum {
        let mask = self.mask & other.mask;
        Tnum { value: (self.value | other.value) & !mask, mask }
    }

    /// Whether the two share no number.
    pub(crate) const fn is_disjoint(self, other: Tnum) -> bool {
        (self.value ^ other.value) & !self.mask & !other.mask != 0
    }

    /// The low `size` bytes, zero above.
    pub(crate) const fn cast(self, size: u32) -> Tnum {
        if size >= 8 {
            return self;
        }
        let keep = (1u64 << (size * 8)) - 1;
        Tnum { value: self.value & keep, mask: self.mask & keep }
    }

    /// The low `size` bytes in reverse order, zero above.
    pub(crate) const fn swap_bytes(self, size: u32) -> Tnum {
        let shift = 64 - 8 * size;
        Tnum { value: self.value.swap_bytes() >> shift, mask: self.mask.swap_bytes() >> shift }
    }

    /// Whether the number is a member.
    pub(crate) const fn has(self, n: u64) -> bool {
        n & !self.mask == self.value
    }

    /// The smallest member above `n`; `None` if there is none.
    pub(crate) const fn next_above(self, n: u64) -> Option<u64> {
        let Some(least) = n.checked_add(1) else { return None };
        let conflict = (least ^ self.value) & !self.mask;
        if conflict == 0 {
            return Some(least);
        }
        // The highest known bit that is wrong in `least`, and all below it, are given up.
        let top = 63 - conflict.leading_zeros();
        let below = (1u64 << top << 1).wrapping_sub(1);
        if self.value & 1 << top != 0 {
            return Some(least & !below | self.value & below);
        }
        // It must become 0: a higher unknown bit becomes 1.
        let raise = !least & self.mask & !below;
        if raise == 0 {
            return None;
        }
        let bit = 1u64 << raise.trailing_zeros();
        let low = bit | (bit - 1);
        Some(least & !low | bit | self.value & low)
    }

    /// Whether every number is a multiple of `size`, a power of two.
    pub(crate) const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & (size - 1) == 0
    }

    /// Whether every number of `inner` is in `self`.
    pub(crate) const fn contains(self, inner: Tnum) -> bool {
        inner.mask & !self.mask == 0 && self.value == inner.value & !self.mask
    }

    /// Low 32 bits, zero above.
    pub(crate) const fn subreg(self) -> Tnum {
        self.cast(4)
    }

    /// Low 32 bits cleared.
    pub(crate) const fn clear_subreg(self) -> Tnum {
        self.shr(32).shl(32)
    }

    /// Low 32 bits from `sub`, the rest from `self`.
    pub(crate) const fn with_subreg(self, sub: Tnum) -> Tnum {
        self.clear_subreg().or(sub.subreg())
    }

    /// The low 32 bits are `value`, the rest stays.
    pub(crate) const fn const_subreg(self, value: u32) -> Tnum {
        self.with_subreg(Tnum::constant(value as u64))
    }

    /// Whether the low 32 bits are known.
    pub(crate) const fn is_subreg_const(self) -> bool {
        self.mask as u32 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_above_is_the_least_member_above() {
        for mask in 0u64..64 {
            for value in (0u64..64).filter(|v| v & mask == 0) {
                let t = Tnum { value, mask };
                for n in 0..80 {
                    let wanted = (n + 1..128).find(|m| t.has(*m));
                    assert_eq!(t.next_above(n), wanted, "{t:?} above {n}");
                }
            }
        }
    }

    #[test]
    fn bytes_swap() {
        let t = Tnum { value: 0x1200, mask: 0x00ff };
        assert_eq!(t.swap_bytes(2), Tnum { value: 0x0012, mask: 0xff00 });
    }
}
