//! Arithmetic on [`Bounds`]: for every a in `a` and b in `b`, `a op b` is in the result.
//!
//! The 32-bit views are computed on their own where the operation allows it; callers of 32-bit
//! operations zero-extend afterwards, and everyone syncs.

use super::{Bounds, Tnum};

/// Sum of two ranges; all ends wrapping together keep the range, one alone loses it.
macro_rules! unsigned_pair {
    ($op:ident, $min:expr, $max:expr, $by_min:expr, $by_max:expr, $lost:expr) => {{
        let (low, low_wraps) = $min.$op($by_min);
        let (high, high_wraps) = $max.$op($by_max);
        if low_wraps != high_wraps && $lost(low_wraps, high_wraps) {
            ($min, $max) = (0, !0);
        } else {
            ($min, $max) = (low, high);
        }
    }};
}

/// Sum or difference of signed ranges: any overflow loses everything.
macro_rules! signed_pair {
    ($op:ident, $min:expr, $max:expr, $by_min:expr, $by_max:expr, $ty:ty) => {
        ($min, $max) = match ($min.$op($by_min), $max.$op($by_max)) {
            (Some(low), Some(high)) => (low, high),
            _ => (<$ty>::MIN, <$ty>::MAX),
        }
    };
}

macro_rules! products {
    ($a:expr, $b:expr, $c:expr, $d:expr, $ty:ty) => {{
        let all = [$a.checked_mul($c), $a.checked_mul($d), $b.checked_mul($c), $b.checked_mul($d)];
        match all {
            [Some(p), Some(q), Some(r), Some(s)] => {
                (p.min(q).min(r).min(s), p.max(q).max(r).max(s))
            }
            _ => (<$ty>::MIN, <$ty>::MAX),
        }
    }};
}

impl Bounds {
    /// Adds the ranges only (the bits are the caller's).
    pub(crate) fn add_ranges(&mut self, by: &Bounds) {
        let lost = |low: bool, high: bool| !low && high;
        signed_pair!(checked_add, self.s32_min, self.s32_max, by.s32_min, by.s32_max, i32);
        unsigned_pair!(overflowing_add, self.u32_min, self.u32_max, by.u32_min, by.u32_max, lost);
        signed_pair!(checked_add, self.smin, self.smax, by.smin, by.smax, i64);
        unsigned_pair!(overflowing_add, self.umin, self.umax, by.umin, by.umax, lost);
    }

    /// `self + by`, unsynced.
    pub(crate) fn add(&mut self, by: &Bounds) {
        self.add_ranges(by);
        self.var_off = self.var_off.add(by.var_off);
    }

    /// `self - by`, unsynced.
    pub(crate) fn sub(&mut self, by: &Bounds) {
        let lost = |low: bool, high: bool| low && !high;
        signed_pair!(checked_sub, self.s32_min, self.s32_max, by.s32_max, by.s32_min, i32);
        unsigned_pair!(overflowing_sub, self.u32_min, self.u32_max, by.u32_max, by.u32_min, lost);
        signed_pair!(checked_sub, self.smin, self.smax, by.smax, by.smin, i64);
        unsigned_pair!(overflowing_sub, self.umin, self.umax, by.umax, by.umin, lost);
        self.var_off = self.var_off.sub(by.var_off);
    }

    /// `-self`, unsynced.
    pub(crate) fn neg(&mut self) {
        let old = *self;
        *self = Bounds::constant(0);
        self.sub(&old);
    }

    /// `self * by`, unsynced.
    pub(crate) fn mul(&mut self, by: &Bounds) {
        self.var_off = self.var_off.mul(by.var_off);
        (self.u32_min, self.u32_max) =
            match (self.u32_min.checked_mul(by.u32_min), self.u32_max.checked_mul(by.u32_max)) {
                (Some(min), Some(max)) => (min, max),
                _ => (0, u32::MAX),
            };
        (self.s32_min, self.s32_max) =
            products!(self.s32_min, self.s32_max, by.s32_min, by.s32_max, i32);
        (self.umin, self.umax) =
            match (self.umin.checked_mul(by.umin), self.umax.checked_mul(by.umax)) {
                (Some(min), Some(max)) => (min, max),
                _ => (0, u64::MAX),
            };
        (self.smin, self.smax) = products!(self.smin, self.smax, by.smin, by.smax, i64);
    }

    /// Signed ranges as the unsigned ones have them, where those keep to one side of the sign.
    fn signed_from_unsigned32(&mut self) {
        (self.s32_min, self.s32_max) = if self.u32_min as i32 <= self.u32_max as i32 {
            (self.u32_min as i32, self.u32_max as i32)
        } else {
            (i32::MIN, i32::MAX)
        };
    }

    fn signed_from_unsigned64(&mut self) {
        (self.smin, self.smax) = if self.umin as i64 <= self.umax as i64 {
            (self.umin as i64, self.umax as i64)
        } else {
            (i64::MIN, i64::MAX)
        };
    }

    /// The common end of and, or, xor: a known half is known, the other ranges come from
    /// `ranges32` and `ranges64`.
    fn bitwise(
        &mut self,
        by: &Bounds,
        bits: Tnum,
        ranges32: impl FnOnce(&Bounds, Tnum) -> (u32, u32),
        ranges64: impl FnOnce(&Bounds, Tnum) -> (u64, u64),
    ) {
        self.var_off = bits;
        // Linux asks about the result's bits here: a result may be known where an operand is not.
        if by.var_off.is_subreg_const() && bits.is_subreg_const() {
            let known = bits.value as u32;
            (self.u32_min, self.u32_max) = (known, known);
            (self.s32_min, self.s32_max) = (known as i32, known as i32);
        } else {
            (self.u32_min, self.u32_max) = ranges32(self, bits.subreg());
            self.signed_from_unsigned32();
        }
        if by.var_off.is_const() && bits.is_const() {
            *self = Bounds::constant(bits.value);
            return;
        }
        (self.umin, self.umax) = ranges64(self, bits);
        self.signed_from_unsigned64();
        self.learn_from_bits();
    }

    /// `self & by`, unsynced.
    pub(crate) fn and(&mut self, by: &Bounds) {
        let bits = self.var_off.and(by.var_off);
        self.bitwise(
            by,
            bits,
            |a, bits| (bits.value as u32, a.u32_max.min(by.u32_max)),
            |a, bits| (bits.value, a.umax.min(by.umax)),
        );
    }

    /// `self | by`, unsynced.
    pub(crate) fn or(&mut self, by: &Bounds) {
        let bits = self.var_off.or(by.var_off);
        self.bitwise(
            by,
            bits,
            |a, bits| (a.u32_min.max(by.u32_min), (bits.value | bits.mask) as u32),
            |a, bits| (a.umin.max(by.umin), bits.value | bits.mask),
        );
    }

    /// `self ^ by`, unsynced.
    pub(crate) fn xor(&mut self, by: &Bounds) {
        let bits = self.var_off.xor(by.var_off);
        self.bitwise(
            by,
            bits,
            |_, bits| (bits.value as u32, (bits.value | bits.mask) as u32),
            |_, bits| (bits.value, bits.value | bits.mask),
        );
    }

    fn shl_low_ranges(&mut self, by: u32) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        if by > 31 || u64::from(self.u32_max) > 1u64 << (31 - by) {
            (self.u32_min, self.u32_max) = (0, u32::MAX);
        } else {
            (self.u32_min, self.u32_max) = (self.u32_min << by, self.u32_max << by);
        }
    }

    /// 32-bit `self << by`, `by` below 32, not yet zero-extended.
    pub(crate) fn shl32(&mut self, by: u32) {
        let low = self.var_off.subreg();
        self.shl_low_ranges(by);
        self.var_off = low.shl(by as u8).subreg();
        self.forget64();
        self.learn32_from_bits();
    }

    /// `self << by`, `by` below 64, unsynced.
    pub(crate) fn shl64(&mut self, by: u32) {
        // `<< 32` is how compilers begin a sign extension: keep what the low half knows.
        let keep = |n: i32, lost: i64| if by == 32 { i64::from(n) << 32 } else { lost };
        (self.smin, self.smax) = (keep(self.s32_min, i64::MIN), keep(self.s32_max, i64::MAX));
        if self.umax > 1u64 << (63 - by) {
            (self.umin, self.umax) = (0, u64::MAX);
        } else {
            (self.umin, self.umax) = (self.umin << by, self.umax << by);
        }
        self.shl_low_ranges(by);
        self.var_off = self.var_off.shl(by as u8);
        self.learn_from_bits();
    }

    /// 32-bit `self >> by`.
    pub(crate) fn shr32(&mut self, by: u32) {
        (self.s32_min, self.s32_max) = (i32::MIN, i32::MAX);
        self.var_off = self.var_off.subreg().shr(by as u8);
        (self.u32_min, self.u32_max) = (self.u32_min >> by, self.u32_max >> by);
        self.forget64();
        self.learn32_from_bits();
    }

    /// `self >> by`.
    pub(crate) fn shr64(&mut self, by: u32) {
        (self.smin, self.smax) = (i64::MIN, i64::MAX);
        self.var_off = self.var_off.shr(by as u8);
        (self.umin, self.umax) = (self.umin >> by, self.umax >> by);
        self.forget32();
        self.learn_from_bits();
    }

    /// 32-bit arithmetic `self >> by`.
    pub(crate) fn sar32(&mut self, by: u32) {
        (self.s32_min, self.s32_max) = (self.s32_min >> by, self.s32_max >> by);
        self.var_off = self.var_off.subreg().sar(by as u8, 32);
        (self.u32_min, self.u32_max) = (0, u32::MAX);
        self.forget64();
        self.learn32_from_bits();
    }

    /// Arithmetic `self >> by`.
    pub(crate) fn sar64(&mut self, by: u32) {
        (self.smin, self.smax) = (self.smin >> by, self.smax >> by);
        self.var_off = self.var_off.sar(by as u8, 64);
        (self.umin, self.umax) = (0, u64::MAX);
        self.forget32();
        self.learn_from_bits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator: seed printed by the test that fails.
    struct Rng(u64);
    impl Rng {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
        /// Numbers near the ends of the ranges are likelier.
        fn number(&mut self) -> u64 {
            let n = self.next();
            let edge = [0, 1, u64::MAX, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 63, i64::MAX as u64];
            match n % 4 {
                0 => edge[(n >> 8) as usize % 8].wrapping_add((n >> 16) % 5).wrapping_sub(2),
                1 => n >> (n >> 8 & 63),
                _ => n,
            }
        }
        /// Bounds that hold a chosen number.
        fn bounds(&mut self) -> (Bounds, u64) {
            let n = self.number();
            let mut b = Bounds::UNKNOWN;
            if self.next().is_multiple_of(2) {
                let other = self.number();
                (b.umin, b.umax) = (n.min(other), n.max(other));
            }
            if self.next().is_multiple_of(2) {
                let other = self.number() as i64;
                (b.smin, b.smax) = ((n as i64).min(other), (n as i64).max(other));
            }
            if self.next().is_multiple_of(3) {
                let other = self.number() as i32;
                (b.s32_min, b.s32_max) = ((n as i32).min(other), (n as i32).max(other));
            }
            if self.next().is_multiple_of(3) {
                let other = self.number() as u32;
                (b.u32_min, b.u32_max) = ((n as u32).min(other), (n as u32).max(other));
            }
            let mask = self.number();
            b.var_off = Tnum { value: n & !mask, mask };
            b.sync();
            (b, n)
        }
    }

    fn each(mut test: impl FnMut(Bounds, u64, Bounds, u64, u32)) {
        let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20_000 {
            let ((a, x), (b, y)) = (rng.bounds(), rng.bounds());
            assert!(a.holds(x), "sync lost {x:#x} of {a:?}");
            test(a, x, b, y, (rng.next() & 31) as u32);
        }
    }

    fn check(mut r: Bounds, n: u64, what: &str) {
        r.sync();
        assert!(r.holds(n), "{what}: {n:#x} not in {r:?} (seed 0x9e3779b97f4a7c15)");
    }

    #[test]
    fn every_result_is_described() {
        type Op = (fn(&mut Bounds, &Bounds), fn(u64, u64) -> u64, &'static str);
        let ops: [Op; 6] = [
            (Bounds::add, u64::wrapping_add, "add"),
            (Bounds::sub, u64::wrapping_sub, "sub"),
            (Bounds::mul, u64::wrapping_mul, "mul"),
            (Bounds::and, |a, b| a & b, "and"),
            (Bounds::or, |a, b| a | b, "or"),
            (Bounds::xor, |a, b| a ^ b, "xor"),
        ];
        each(|a, x, b, y, _| {
            for (op, real, name) in ops {
                let mut r = a;
                op(&mut r, &b);
                check(r, real(x, y), name);
                let mut r = a;
                op(&mut r, &b);
                r.zero_extend32();
                check(r, real(x, y) & 0xffff_ffff, name);
            }
        });
    }

    #[test]
    fn every_shift_is_described() {
        type Op = (fn(&mut Bounds, u32), fn(u64, u32) -> u64, bool, &'static str);
        let ops: [Op; 6] = [
            (Bounds::shl64, |a, n| a << n, false, "shl64"),
            (Bounds::shr64, |a, n| a >> n, false, "shr64"),
            (Bounds::sar64, |a, n| (a as i64 >> n) as u64, false, "sar64"),
            (Bounds::shl32, |a, n| u64::from((a as u32) << n), true, "shl32"),
            (Bounds::shr32, |a, n| u64::from(a as u32 >> n), true, "shr32"),
            (Bounds::sar32, |a, n| u64::from((a as i32 >> n) as u32), true, "sar32"),
        ];
        each(|a, x, _, _, n| {
            for (op, real, low, name) in ops {
                let mut r = a;
                let n = if low { n } else { n * 2 };
                op(&mut r, n);
                if low {
                    r.zero_extend32();
                }
                check(r, real(x, n), name);
            }
        });
    }

    #[test]
    fn every_extension_is_described() {
        each(|a, x, _, _, _| {
            for size in [1u32, 2, 4] {
                let bits = 64 - size * 8;
                let mut r = a;
                r.truncate(size);
                check(r, x << bits >> bits, "truncate");
                let mut r = a;
                r.sign_extend64(size);
                check(r, ((x << bits) as i64 >> bits) as u64, "sign_extend64");
                if size < 4 {
                    let bits = 32 - size * 8;
                    let mut r = a;
                    r.sign_extend32(size);
                    r.zero_extend32();
                    check(
                        r,
                        u64::from((((x as u32) << bits) as i32 >> bits) as u32),
                        "sign_extend32",
                    );
                }
            }
            let mut r = a;
            r.neg();
            check(r, x.wrapping_neg(), "neg");
        });
    }
}
