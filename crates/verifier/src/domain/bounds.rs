//! Ranges of a number, as 64 and 32 bits, signed and unsigned, together with its bits.
//!
//! The five views are kept mutually tight by [`Bounds::sync`], in the rounds of Linux 6.18: a
//! fact gained one round earlier or later would show in logs and in pruning.

use super::Tnum;

/// Everything known about a number. All views describe the same set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    pub(crate) var_off: Tnum,
    pub(crate) smin: i64,
    pub(crate) smax: i64,
    pub(crate) umin: u64,
    pub(crate) umax: u64,
    pub(crate) s32_min: i32,
    pub(crate) s32_max: i32,
    pub(crate) u32_min: u32,
    pub(crate) u32_max: u32,
}

const LOW: u64 = 0xffff_ffff;

impl Bounds {
    /// Every number.
    pub(crate) const UNKNOWN: Bounds = Bounds {
        var_off: Tnum::UNKNOWN,
        smin: i64::MIN,
        smax: i64::MAX,
        umin: 0,
        umax: u64::MAX,
        s32_min: i32::MIN,
        s32_max: i32::MAX,
        u32_min: 0,
        u32_max: u32::MAX,
    };

    /// Exactly `value`.
    pub(crate) const fn constant(value: u64) -> Bounds {
        Bounds {
            var_off: Tnum::constant(value),
            smin: value as i64,
            smax: value as i64,
            umin: value,
            umax: value,
            s32_min: value as i32,
            s32_max: value as i32,
            u32_min: value as u32,
            u32_max: value as u32,
        }
    }

    /// The value, if only one is left.
    pub(crate) const fn as_const(&self) -> Option<u64> {
        if self.var_off.is_const() { Some(self.var_off.value) } else { None }
    }

    /// The low 32 bits are `value`; the 64-bit ranges stay.
    pub(crate) fn set_low(&mut self, value: u32) {
        self.var_off = self.var_off.const_subreg(value);
        (self.s32_min, self.s32_max) = (value as i32, value as i32);
        (self.u32_min, self.u32_max) = (value, value);
    }

    /// The value of the low 32 bits, if only one is left.
    pub(crate) const fn as_const32(&self) -> Option<u32> {
        if self.var_off.is_subreg_const() { Some(self.var_off.value as u32) } else { None }
    }

    /// As [`Bounds::as_const`] of all bits or of the low half.
    pub(crate) fn as_const_of(&self, low_half: bool) -> Option<u64> {
        if low_half { self.as_const32().map(u64::from) } else { self.as_const() }
    }

    /// How many low bits the largest value takes.
    pub(crate) const fn width(&self) -> u32 {
        64 - self.umax.leading_zeros()
    }

    /// Whether every view is a non-empty range.
    pub(crate) const fn is_consistent(&self) -> bool {
        self.umin <= self.umax
            && self.smin <= self.smax
            && self.u32_min <= self.u32_max
            && self.s32_min <= self.s32_max
    }

    /// Whether the ranges of `inner` lie within these.
    pub(crate) const fn range_contains(&self, inner: &Bounds) -> bool {
        self.umin <= inner.umin
            && self.umax >= inner.umax
            && self.smin <= inner.smin
            && self.smax >= inner.smax
            && self.u32_min <= inner.u32_min
            && self.u32_max >= inner.u32_max
            && self.s32_min <= inner.s32_min
            && self.s32_max >= inner.s32_max
    }

    /// Whether every number of `inner` is described here (⊑).
    pub(crate) const fn contains(&self, inner: &Bounds) -> bool {
        self.range_contains(inner) && self.var_off.contains(inner.var_off)
    }

    /// Whether the number is one of those described; the test of soundness.
    pub(crate) fn holds(&self, n: u64) -> bool {
        self.umin <= n
            && n <= self.umax
            && self.smin <= n as i64
            && n as i64 <= self.smax
            && self.u32_min <= n as u32
            && n as u32 <= self.u32_max
            && self.s32_min <= n as i32
            && n as i32 <= self.s32_max
            && n & !self.var_off.mask == self.var_off.value
    }

    /// Forgets the ranges, keeps the bits.
    pub(crate) fn forget_ranges(&mut self) {
        *self = Bounds { var_off: self.var_off, ..Bounds::UNKNOWN };
    }

    /// Forgets the ranges of all 64 bits.
    pub(crate) fn forget64(&mut self) {
        (self.smin, self.smax, self.umin, self.umax) = (i64::MIN, i64::MAX, 0, u64::MAX);
    }

    /// Forgets the ranges of the low half.
    pub(crate) fn forget32(&mut self) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
    }

    /// Narrows the ranges of the low half by the known bits.
    pub(crate) fn learn32_from_bits(&mut self) {
        let Tnum { value, mask } = self.var_off.subreg();
        let (value, mask) = (value as u32, mask as u32);
        const SIGN: u32 = 1 << 31;
        self.s32_min = self.s32_min.max((value | mask & SIGN) as i32);
        self.s32_max = self.s32_max.min((value | mask & !SIGN) as i32);
        self.u32_min = self.u32_min.max(value);
        self.u32_max = self.u32_max.min(value | mask);
    }

    /// Narrows all ranges by the known bits.
    pub(crate) fn learn_from_bits(&mut self) {
        self.learn32_from_bits();
        let Tnum { value, mask } = self.var_off;
        const SIGN: u64 = 1 << 63;
        self.smin = self.smin.max((value | mask & SIGN) as i64);
        self.smax = self.smax.min((value | mask & !SIGN) as i64);
        self.umin = self.umin.max(value);
        self.umax = self.umax.min(value | mask);
        self.learn_single();
    }

    /// The unsigned range may hold a single number with these bits.
    fn learn_single(&mut self) {
        let bits = self.var_off;
        let max = bits.value | bits.mask;
        let next = |n: u64| {
            if n >= max { max } else { bits.next_above(n).unwrap_or(max) }
        };
        let (starts, after) = (bits.has(self.umin), next(self.umin));
        let single = if starts {
            (after > self.umax).then_some(self.umin)
        } else if after == max || after <= self.umax && next(after) > self.umax {
            Some(after)
        } else {
            None
        };
        if let Some(n) = single {
            *self = Bounds::constant(n);
        }
    }

    fn narrow_u32(&mut self, min: u32, max: u32) {
        self.u32_min = self.u32_min.max(min);
        self.u32_max = self.u32_max.min(max);
    }

    fn narrow_s32(&mut self, min: i32, max: i32) {
        self.s32_min = self.s32_min.max(min);
        self.s32_max = self.s32_max.min(max);
    }

    fn narrow_u64(&mut self, min: u64, max: u64) {
        self.umin = self.umin.max(min);
        self.umax = self.umax.min(max);
    }

    fn narrow_s64(&mut self, min: i64, max: i64) {
        self.smin = self.smin.max(min);
        self.smax = self.smax.min(max);
    }

    /// What the 64-bit ranges and the other sign say about the low half.
    fn deduce32(&mut self) {
        let (ulow, uhigh) = (self.umin as u32, self.umax as u32);
        let (slow, shigh) = (self.smin as u32, self.smax as u32);
        // The low half counts on without wrapping while the upper half stays.
        if self.umin >> 32 == self.umax >> 32 {
            self.narrow_u32(ulow, uhigh);
            if ulow as i32 <= uhigh as i32 {
                self.narrow_s32(ulow as i32, uhigh as i32);
            }
        }
        if self.smin >> 32 == self.smax >> 32 {
            if slow <= shigh {
                self.narrow_u32(slow, shigh);
            }
            if slow as i32 <= shigh as i32 {
                self.narrow_s32(slow as i32, shigh as i32);
            }
        }
        // One step of the upper half with the low half going from negative to positive is a
        // signed range.
        let steps_once =
            |min: u64, max: u64| ((min >> 32) as u32).wrapping_add(1) == (max >> 32) as u32;
        if steps_once(self.umin, self.umax) && (ulow as i32) < 0 && uhigh as i32 >= 0 {
            self.narrow_s32(ulow as i32, uhigh as i32);
        }
        if steps_once(self.smin as u64, self.smax as u64) && (slow as i32) < 0 && shigh as i32 >= 0
        {
            self.narrow_s32(slow as i32, shigh as i32);
        }
        if self.u32_min as i32 <= self.u32_max as i32 {
            self.narrow_s32(self.u32_min as i32, self.u32_max as i32);
        }
        if self.s32_min as u32 <= self.s32_max as u32 {
            self.narrow_u32(self.s32_min as u32, self.s32_max as u32);
        } else if self.u32_max < self.s32_min as u32 {
            // As for 64 bits: the signed range wraps and the unsigned one meets one end of it.
            self.s32_min = self.u32_min as i32;
            self.u32_max = self.u32_max.min(self.s32_max as u32);
        } else if (self.s32_max as u32) < self.u32_min {
            self.s32_max = self.u32_max as i32;
            self.u32_min = self.u32_min.max(self.s32_min as u32);
        }
    }

    /// What the signed 64-bit range says about the unsigned one and the reverse.
    fn deduce64(&mut self) {
        if self.umin as i64 <= self.umax as i64 {
            self.narrow_s64(self.umin as i64, self.umax as i64);
        }
        if self.smin as u64 <= self.smax as u64 {
            self.narrow_u64(self.smin as u64, self.smax as u64);
        } else if self.umax < self.smin as u64 {
            // The signed range wraps and the unsigned one meets only its positive end.
            self.smin = self.umin as i64;
            self.umax = self.umax.min(self.smax as u64);
        } else if (self.smax as u64) < self.umin {
            // ... only its negative end.
            self.smax = self.umax as i64;
            self.umin = self.umin.max(self.smin as u64);
        }
    }

    /// What the low half's ranges say about the 64-bit ones.
    fn deduce_mixed(&mut self) {
        let (umin, umax) = (self.umin & !LOW, self.umax & !LOW);
        self.narrow_u64(umin | u64::from(self.u32_min), umax | u64::from(self.u32_max));
        let (smin, smax) = (self.smin as u64 & !LOW, self.smax as u64 & !LOW);
        self.narrow_s64(
            (smin | u64::from(self.u32_min)) as i64,
            (smax | u64::from(self.u32_max)) as i64,
        );
        // A sign-extended 32-bit number whose low half is not negative has a zero upper half.
        if self.s32_min >= 0 && self.smin >= i64::from(i32::MIN) && self.smax <= i64::from(i32::MAX)
        {
            (self.smin, self.smax) = (i64::from(self.s32_min), i64::from(self.s32_max));
            (self.umin, self.umax) = (self.smin as u64, self.smax as u64);
            self.var_off = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        }
    }

    /// What the ranges say about the bits.
    fn learn_bits(&mut self) {
        let all = self.var_off.intersect(Tnum::range(self.umin, self.umax));
        let range32 = Tnum::range(u64::from(self.u32_min), u64::from(self.u32_max));
        let low = all.subreg().intersect(range32);
        self.var_off = all.clear_subreg().or(low);
    }

    /// Carries each view's knowledge into the others.
    pub(crate) fn sync(&mut self) {
        self.learn_from_bits();
        for _ in 0..3 {
            self.deduce32();
            self.deduce64();
            self.deduce_mixed();
        }
        self.learn_bits();
        self.learn_from_bits();
    }

    /// A signed number of 32 bits between these, sign-extended.
    pub(crate) fn limit_s32(&mut self, min: i32, max: i32) {
        (self.s32_min, self.s32_max) = (self.s32_min.max(min), self.s32_max.min(max));
        (self.smin, self.smax) = (self.smin.max(min.into()), self.smax.min(max.into()));
        self.sync();
    }

    /// The low half, zero above: what a 32-bit operation leaves. Not yet synced.
    pub(crate) fn zero_extend32(&mut self) {
        self.var_off = self.var_off.subreg();
        (self.umin, self.umax) = (u64::from(self.u32_min), u64::from(self.u32_max));
        (self.smin, self.smax) = if self.s32_min >= 0 && self.s32_max >= 0 {
            (i64::from(self.s32_min), i64::from(self.s32_max))
        } else {
            (0, LOW as i64)
        };
    }

    /// The low `size` bytes, zero above.
    pub(crate) fn truncate(&mut self, size: u32) {
        self.var_off = self.var_off.cast(size);
        let mask = (1u64 << (size * 8)) - 1;
        if self.umin & !mask == self.umax & !mask {
            (self.umin, self.umax) = (self.umin & mask, self.umax & mask);
        } else {
            (self.umin, self.umax) = (0, mask);
        }
        (self.smin, self.smax) = (self.umin as i64, self.umax as i64);
        if size < 4 {
            self.forget32();
        }
        self.sync();
    }

    /// The low `size` bytes (1, 2, 4), sign-extended to 64 bits.
    pub(crate) fn sign_extend64(&mut self, size: u32) {
        let bits = size * 8;
        let extend = |n: u64| (n << (64 - bits)) as i64 >> (64 - bits);
        if let Some(value) = self.as_const() {
            *self = Bounds::constant(extend(value) as u64);
            return;
        }
        if (self.smin as u64) >> bits == (self.smax as u64) >> bits {
            let (a, b) = (extend(self.smin as u64), extend(self.smax as u64));
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                *self = Bounds {
                    var_off: Tnum::range(min as u64, max as u64),
                    smin: min,
                    smax: max,
                    umin: min as u64,
                    umax: max as u64,
                    s32_min: min as i32,
                    s32_max: max as i32,
                    u32_min: min as u32,
                    u32_max: max as u32,
                };
                return;
            }
        }
        let (min, max) = (-1i64 << (bits - 1), (1i64 << (bits - 1)) - 1);
        *self = Bounds {
            smin: min,
            smax: max,
            s32_min: min as i32,
            s32_max: max as i32,
            ..Bounds::UNKNOWN
        };
    }

    /// The low `size` bytes (1, 2), sign-extended to 32 bits; the 64-bit ranges are left for
    /// [`Bounds::zero_extend32`].
    pub(crate) fn sign_extend32(&mut self, size: u32) {
        let bits = size * 8;
        let extend = |n: u32| (n << (32 - bits)) as i32 >> (32 - bits);
        if let Some(value) = self.as_const() {
            let value = extend(value as u32);
            self.var_off = Tnum::constant(i64::from(value) as u64);
            (self.s32_min, self.s32_max) = (value, value);
            (self.u32_min, self.u32_max) = (value as u32, value as u32);
            return;
        }
        if (self.s32_min as u32) >> bits == (self.s32_max as u32) >> bits {
            let (a, b) = (extend(self.s32_min as u32), extend(self.s32_max as u32));
            let (min, max) = (a.min(b), a.max(b));
            if (min >= 0) == (max >= 0) {
                (self.s32_min, self.s32_max) = (min, max);
                (self.u32_min, self.u32_max) = (min as u32, max as u32);
                self.var_off = Tnum::range(min as u64, max as u64).subreg();
                return;
            }
        }
        (self.s32_min, self.s32_max) = (-1i32 << (bits - 1), (1i32 << (bits - 1)) - 1);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.var_off = Tnum::UNKNOWN.subreg();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_of_a_constant_changes_nothing() {
        for n in [0, 1, 0x7fff_ffff, 0x8000_0000, u64::MAX, 1 << 63, 0xdead_beef_0000_0001] {
            let mut b = Bounds::constant(n);
            b.sync();
            assert_eq!(b, Bounds::constant(n));
        }
    }

    #[test]
    fn byte_load_is_0_to_255() {
        let mut b = Bounds::UNKNOWN;
        b.truncate(1);
        assert_eq!((b.umin, b.umax, b.smin, b.smax), (0, 255, 0, 255));
        assert_eq!((b.u32_min, b.u32_max, b.s32_min, b.s32_max), (0, 255, 0, 255));
        assert_eq!(b.var_off, Tnum { value: 0, mask: 255 });
    }

    #[test]
    fn sign_extension_of_an_unknown_byte() {
        let mut b = Bounds::UNKNOWN;
        b.sign_extend64(1);
        assert_eq!((b.smin, b.smax, b.umin, b.umax), (-128, 127, 0, u64::MAX));
    }
}
