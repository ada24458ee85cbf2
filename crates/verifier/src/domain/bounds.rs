//! Ranges of a number, as 64 and 32 bits, signed and unsigned, together with its bits.

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
}
