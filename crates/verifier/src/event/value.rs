//! What events hold besides numbers and names.

use std::fmt;

use crate::domain::{Bounds, Tnum};
use crate::state::{RegFlags, RegKind, RegState};

/// A register by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reg(pub(crate) usize);

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a register is known to be, without its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegType {
    pub(crate) kind: RegKind,
    pub(crate) flags: RegFlags,
}

impl RegType {
    pub(crate) fn of(reg: &RegState) -> RegType {
        RegType { kind: reg.kind, flags: reg.flags }
    }
}

impl fmt::Display for RegType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::calls::type_name(self.kind, self.flags))
    }
}

/// Known bits of an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits(pub(crate) Tnum);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::log::tnum_text(self.0))
    }
}

/// The signed range of a value that should lie in another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) smin: i64,
    pub(crate) smax: i64,
}

impl Known {
    pub(crate) fn of(reg: &RegState) -> Known {
        Known { smin: reg.v.smin, smax: reg.v.smax }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.smin, self.smax) == (i64::MIN, i64::MAX) {
            return f.write_str(" unknown scalar value");
        }
        if self.smin > i64::MIN {
            write!(f, " smin={}", self.smin)?;
        }
        if self.smax < i64::MAX {
            write!(f, " smax={}", self.smax)?;
        }
        Ok(())
    }
}

/// All that is known of a number.
#[derive(Clone, Debug)]
pub(crate) struct Ranges(pub(crate) Box<Bounds>);

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = &self.0;
        write!(
            f,
            "u64=[{:#x}, {:#x}] s64=[{:#x}, {:#x}] u32=[{:#x}, {:#x}] s32=[{:#x}, {:#x}] \
             var_off=({:#x}, {:#x})",
            v.umin,
            v.umax,
            v.smin,
            v.smax,
            v.u32_min,
            v.u32_max,
            v.s32_min,
            v.s32_max,
            v.var_off.value,
            v.var_off.mask
        )
    }
}

/// Registers as a mask of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RegMask(pub(crate) u32);

impl fmt::Display for RegMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, (0..11).filter(|n| self.0 & 1 << n != 0).map(|n: u32| format!("r{n}")))
    }
}

/// Stack slots of 8 bytes as a mask of bits, the topmost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotMask(pub(crate) u64);

impl fmt::Display for SlotMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, (0..64).filter(|n| self.0 & 1 << n != 0).map(|n: i32| format!("-{}", 8 * n + 8)))
    }
}

/// Call sites from the outermost, and where the innermost function begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallChain<'a>(pub(crate) &'a [u32]);

impl fmt::Display for CallChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        list(f, self.0.iter())?;
        f.write_str(")")
    }
}

/// Call sites and the component of the control-flow graph that the last one leads into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopChain<'a>(pub(crate) &'a [u32]);

impl fmt::Display for LoopChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As in Linux, a call site 0 hides those after it.
        let [sites @ .., component, _] = self.0 else { return f.write_str("()") };
        f.write_str("(")?;
        sites.iter().take_while(|n| **n != 0).try_for_each(|n| write!(f, "{n},"))?;
        write!(f, "{component})")
    }
}

/// With commas between.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, all: impl Iterator<Item = T>) -> fmt::Result {
    for (n, one) in all.enumerate() {
        write!(f, "{}{one}", if n == 0 { "" } else { "," })?;
    }
    Ok(())
}

/// Registers and numbers among the fields of a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) regs: Vec<usize>,
    pub(crate) numbers: Vec<i64>,
}

/// A field of a reason.
pub(super) trait Field {
    /// Notes registers and numbers; other fields have nothing to note.
    fn see(&self, seen: &mut Seen);
}

impl Field for Reg {
    fn see(&self, seen: &mut Seen) {
        seen.regs.push(self.0);
    }
}

macro_rules! numbers {
    ($($ty:ty)+) => { $(impl Field for $ty {
        fn see(&self, seen: &mut Seen) {
            seen.numbers.push(*self as i64);
        }
    })+ };
}
numbers!(u8 i32 u32 i64 u64 usize);

macro_rules! no_numbers {
    ($($ty:ty)+) => { $(impl Field for $ty {
        fn see(&self, _: &mut Seen) {}
    })+ };
}
no_numbers!(RegType Bits Known Ranges Box<str> &'static str);
