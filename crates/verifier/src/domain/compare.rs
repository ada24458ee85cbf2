//! Comparisons of [`Bounds`]: which way a jump must go, and what either way teaches.

use isa::Cond;

use super::{Bounds, Tnum};

/// A relation that holds between two numbers: a condition or the opposite of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    /// The condition holds.
    Is(Cond),
    /// `a & b == 0`: the only opposite that is no condition itself.
    NoneSet,
}

/// The condition with its operands exchanged.
pub(crate) const fn flip(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
        same => same,
    }
}

/// What holds where the condition does not.
pub(crate) const fn negate(cond: Cond) -> Relation {
    Relation::Is(match cond {
        Cond::Eq => Cond::Ne,
        Cond::Ne => Cond::Eq,
        Cond::Gt => Cond::Le,
        Cond::Ge => Cond::Lt,
        Cond::Lt => Cond::Ge,
        Cond::Le => Cond::Gt,
        Cond::Sgt => Cond::Sle,
        Cond::Sge => Cond::Slt,
        Cond::Slt => Cond::Sge,
        Cond::Sle => Cond::Sgt,
        Cond::Set => return Relation::NoneSet,
    })
}

/// One operand in the width of the jump.
#[derive(Clone, Copy)]
struct View {
    bits: Tnum,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

fn view(b: &Bounds, low: bool) -> View {
    if low {
        View {
            bits: b.var_off.subreg(),
            umin: u64::from(b.u32_min),
            umax: u64::from(b.u32_max),
            smin: i64::from(b.s32_min),
            smax: i64::from(b.s32_max),
        }
    } else {
        View { bits: b.var_off, umin: b.umin, umax: b.umax, smin: b.smin, smax: b.smax }
    }
}

/// Whether the two cannot be equal; `None` if they may or must.
fn never_equal(a: &Bounds, b: &Bounds, low: bool) -> bool {
    let (x, y) = (view(a, low), view(b, low));
    let apart = |a: &View, b: &View| {
        a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin
    };
    // 64-bit numbers whose low halves differ differ.
    x.bits.is_disjoint(y.bits) || apart(&x, &y) || !low && apart(&view(a, true), &view(b, true))
}

/// Whether the condition holds for every pair (`true`), for none (`false`), or it depends.
pub(crate) fn decide(cond: Cond, a: &Bounds, b: &Bounds, low: bool) -> Option<bool> {
    let (x, y) = (view(a, low), view(b, low));
    let order = |always: bool, never: bool| {
        if always {
            Some(true)
        } else if never {
            Some(false)
        } else {
            None
        }
    };
    match cond {
        Cond::Eq | Cond::Ne => {
            let equal = if x.bits.is_const() && y.bits.is_const() {
                Some(x.bits.value == y.bits.value)
            } else if never_equal(a, b, low) {
                Some(false)
            } else {
                None
            };
            equal.map(|equal| equal == matches!(cond, Cond::Eq))
        }
        Cond::Set => {
            let (bits, set) = match (x.bits.is_const(), y.bits.is_const()) {
                (_, true) => (x.bits, y.bits.value),
                (true, false) => (y.bits, x.bits.value),
                _ => return None,
            };
            order(bits.value & set != 0, (bits.value | bits.mask) & set == 0)
        }
        Cond::Gt => order(x.umin > y.umax, x.umax <= y.umin),
        Cond::Ge => order(x.umin >= y.umax, x.umax < y.umin),
        Cond::Lt => order(x.umax < y.umin, x.umin >= y.umax),
        Cond::Le => order(x.umax <= y.umin, x.umin > y.umax),
        Cond::Sgt => order(x.smin > y.smax, x.smax <= y.smin),
        Cond::Sge => order(x.smin >= y.smax, x.smax < y.smin),
        Cond::Slt => order(x.smax < y.smin, x.smin >= y.smax),
        Cond::Sle => order(x.smax <= y.smin, x.smin > y.smax),
    }
}

/// Narrows both operands by a relation known to hold. Unsynced.
pub(crate) fn refine(relation: Relation, a: &mut Bounds, b: &mut Bounds, low: bool) {
    let Relation::Is(cond) = relation else {
        return with_constant(a, b, low, |a, value| clear_bits(a, value, low));
    };
    match cond {
        Cond::Gt | Cond::Ge | Cond::Sgt | Cond::Sge => {
            refine(Relation::Is(flip(cond)), b, a, low);
        }
        Cond::Eq => make_equal(a, b, low),
        Cond::Ne => with_constant(a, b, low, |a, value| exclude_end(a, value, low)),
        Cond::Set => with_constant(a, b, low, |a, value| set_bit(a, value, low)),
        Cond::Le if low => {
            a.u32_max = a.u32_max.min(b.u32_max);
            b.u32_min = b.u32_min.max(a.u32_min);
        }
        Cond::Le => {
            a.umax = a.umax.min(b.umax);
            b.umin = b.umin.max(a.umin);
        }
        Cond::Lt if low => {
            a.u32_max = a.u32_max.min(b.u32_max.wrapping_sub(1));
            b.u32_min = b.u32_min.max(a.u32_min.wrapping_add(1));
        }
        Cond::Lt => {
            a.umax = a.umax.min(b.umax.wrapping_sub(1));
            b.umin = b.umin.max(a.umin.wrapping_add(1));
        }
        Cond::Sle if low => {
            a.s32_max = a.s32_max.min(b.s32_max);
            b.s32_min = b.s32_min.max(a.s32_min);
        }
        Cond::Sle => {
            a.smax = a.smax.min(b.smax);
            b.smin = b.smin.max(a.smin);
        }
        Cond::Slt if low => {
            a.s32_max = a.s32_max.min(b.s32_max.wrapping_sub(1));
            b.s32_min = b.s32_min.max(a.s32_min.wrapping_add(1));
        }
        Cond::Slt => {
            a.smax = a.smax.min(b.smax.wrapping_sub(1));
            b.smin = b.smin.max(a.smin.wrapping_add(1));
        }
    }
}

/// A number compared with itself, on a side that is never taken where it is unequal: Linux narrows
/// both ends by one there, and so must whoever counts its states.
pub(crate) fn refine_self(relation: Relation, a: &mut Bounds, low: bool) {
    let mut other = *a;
    match relation {
        Relation::Is(Cond::Lt | Cond::Gt) if low => {
            other.u32_max = a.u32_max.min(a.u32_max.wrapping_sub(1));
            other.u32_min = a.u32_min.max(a.u32_min.wrapping_add(1));
        }
        Relation::Is(Cond::Lt | Cond::Gt) => {
            other.umax = a.umax.min(a.umax.wrapping_sub(1));
            other.umin = a.umin.max(a.umin.wrapping_add(1));
        }
        Relation::Is(Cond::Slt | Cond::Sgt) if low => {
            other.s32_max = a.s32_max.min(a.s32_max.wrapping_sub(1));
            other.s32_min = a.s32_min.max(a.s32_min.wrapping_add(1));
        }
        Relation::Is(Cond::Slt | Cond::Sgt) => {
            other.smax = a.smax.min(a.smax.wrapping_sub(1));
            other.smin = a.smin.max(a.smin.wrapping_add(1));
        }
        _ => {}
    }
    *a = other;
}

/// Runs `f` on the operand that is compared with a constant, if one of them is one.
fn with_constant(a: &mut Bounds, b: &mut Bounds, low: bool, f: impl FnOnce(&mut Bounds, u64)) {
    if let Some(value) = b.as_const_of(low) {
        f(a, value);
    } else if let Some(value) = a.as_const_of(low) {
        f(b, value);
    }
}

fn make_equal(a: &mut Bounds, b: &mut Bounds, low: bool) {
    if low {
        a.u32_min = a.u32_min.max(b.u32_min);
        a.u32_max = a.u32_max.min(b.u32_max);
        a.s32_min = a.s32_min.max(b.s32_min);
        a.s32_max = a.s32_max.min(b.s32_max);
        (b.u32_min, b.u32_max, b.s32_min, b.s32_max) = (a.u32_min, a.u32_max, a.s32_min, a.s32_max);
        let bits = a.var_off.subreg().intersect(b.var_off.subreg());
        a.var_off = a.var_off.with_subreg(bits);
        b.var_off = b.var_off.with_subreg(bits);
    } else {
        a.umin = a.umin.max(b.umin);
        a.umax = a.umax.min(b.umax);
        a.smin = a.smin.max(b.smin);
        a.smax = a.smax.min(b.smax);
        (b.umin, b.umax, b.smin, b.smax) = (a.umin, a.umax, a.smin, a.smax);
        a.var_off = a.var_off.intersect(b.var_off);
        b.var_off = a.var_off;
    }
}

/// A range whose end is excluded is one shorter.
fn exclude_end(a: &mut Bounds, value: u64, low: bool) {
    macro_rules! trim {
        ($min:expr, $max:expr, $value:expr) => {
            if $min == $value {
                $min = $min.wrapping_add(1);
            }
            if $max == $value {
                $max = $max.wrapping_sub(1);
            }
        };
    }
    if low {
        trim!(a.u32_min, a.u32_max, value as u32);
        trim!(a.s32_min, a.s32_max, value as i32);
    } else {
        trim!(a.umin, a.umax, value);
        trim!(a.smin, a.smax, value as i64);
    }
}

/// `a & value != 0` teaches something if `value` is a single bit.
fn set_bit(a: &mut Bounds, value: u64, low: bool) {
    if !value.is_power_of_two() {
        return;
    }
    let bit = Tnum::constant(value);
    a.var_off =
        if low { a.var_off.with_subreg(a.var_off.subreg().or(bit)) } else { a.var_off.or(bit) };
}

/// `a & value == 0`. The ranges are forgotten first: on a dead branch they may contradict the bits.
fn clear_bits(a: &mut Bounds, value: u64, low: bool) {
    a.forget_ranges();
    let keep = Tnum::constant(!value);
    a.var_off =
        if low { a.var_off.with_subreg(a.var_off.subreg().and(keep)) } else { a.var_off.and(keep) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONDS: [Cond; 11] = [
        Cond::Eq,
        Cond::Ne,
        Cond::Set,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
    ];

    fn holds(cond: Cond, a: u64, b: u64, low: bool) -> bool {
        let (a, b) = if low { (a as i32 as i64 as u64, b as i32 as i64 as u64) } else { (a, b) };
        match cond {
            Cond::Eq => a == b,
            Cond::Ne => a != b,
            Cond::Set => (if low { (a & b) as u32 as u64 } else { a & b }) != 0,
            Cond::Gt => a > b,
            Cond::Ge => a >= b,
            Cond::Lt => a < b,
            Cond::Le => a <= b,
            Cond::Sgt => a as i64 > b as i64,
            Cond::Sge => a as i64 >= b as i64,
            Cond::Slt => (a as i64) < (b as i64),
            Cond::Sle => a as i64 <= b as i64,
        }
    }

    #[test]
    fn refinement_keeps_every_pair_that_satisfies() {
        // All pairs of a few small sets, in both widths, around the sign boundaries.
        let points: Vec<u64> = [0u64, 1, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
            .into_iter()
            .flat_map(|n| [n, n | 1 << 63, n.wrapping_sub(3), n << 32 | n])
            .collect();
        for (&lo, &hi) in points.iter().zip(points.iter().skip(3)) {
            let mut a = Bounds::UNKNOWN;
            (a.umin, a.umax) = (lo.min(hi), lo.max(hi));
            a.sync();
            for &c in &points {
                for b in [Bounds::constant(c), a] {
                    for cond in CONDS {
                        for low in [false, true] {
                            one_case(cond, &a, &b, low, &points);
                        }
                    }
                }
            }
        }
    }

    fn one_case(cond: Cond, a: &Bounds, b: &Bounds, low: bool, points: &[u64]) {
        let decided = decide(cond, a, b, low);
        for &x in points.iter().filter(|x| a.holds(**x)) {
            for &y in points.iter().filter(|y| b.holds(**y)) {
                let real = holds(cond, x, y, low);
                assert!(decided.is_none_or(|d| d == real), "{cond:?} {x:#x} {y:#x} {low}");
                let relation = if real { Relation::Is(cond) } else { negate(cond) };
                let (mut p, mut q) = (*a, *b);
                refine(relation, &mut p, &mut q, low);
                p.sync();
                q.sync();
                assert!(p.holds(x) && q.holds(y), "{relation:?} {x:#x} {y:#x} {low} {p:?} {q:?}");
            }
        }
    }
}
