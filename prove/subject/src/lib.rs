//! The verifier's number domain, the very files, behind functions on flat memory. `prove`
//! compiles this to LLVM IR and proves what comes out.
#![expect(dead_code, reason = "not every function of the domain has an obligation of its own")]

#[path = "../../../crates/verifier/src/domain/mod.rs"]
mod domain;

use domain::compare::{Relation, decide, negate, refine};
use domain::{Bounds, Tnum};
use isa::Cond;

/// [`Bounds`] with a layout.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Flat {
    value: u64,
    mask: u64,
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
    u32_min: u32,
    u32_max: u32,
    s32_min: i32,
    s32_max: i32,
}

fn get(f: &Flat) -> Bounds {
    Bounds {
        var_off: Tnum { value: f.value, mask: f.mask },
        umin: f.umin,
        umax: f.umax,
        smin: f.smin,
        smax: f.smax,
        u32_min: f.u32_min,
        u32_max: f.u32_max,
        s32_min: f.s32_min,
        s32_max: f.s32_max,
    }
}

fn put(b: &Bounds) -> Flat {
    Flat {
        value: b.var_off.value,
        mask: b.var_off.mask,
        umin: b.umin,
        umax: b.umax,
        smin: b.smin,
        smax: b.smax,
        u32_min: b.u32_min,
        u32_max: b.u32_max,
        s32_min: b.s32_min,
        s32_max: b.s32_max,
    }
}

macro_rules! binary {
    ($($name:ident = $op:expr;)*) => {
        $(#[unsafe(no_mangle)]
        pub fn $name(a: &mut Flat, b: &Flat) {
            let (mut x, y) = (get(a), get(b));
            let op: fn(&mut Bounds, &Bounds) = $op;
            op(&mut x, &y);
            *a = put(&x);
        })*
    };
}

binary! {
    p_add = |a, b| a.add(b);
    p_sub = |a, b| a.sub(b);
    p_and = |a, b| a.and(b);
    p_or = |a, b| a.or(b);
    p_xor = |a, b| a.xor(b);
    p_mul = |a, b| a.mul(b);
}

macro_rules! unary {
    ($($name:ident = $op:expr;)*) => {
        $(#[unsafe(no_mangle)]
        pub fn $name(a: &mut Flat) {
            let mut x = get(a);
            let op: fn(&mut Bounds) = $op;
            op(&mut x);
            *a = put(&x);
        })*
    };
}

unary! {
    p_sync = |a| a.sync();
    p_neg = |a| a.neg();
    p_zero_extend32 = |a| a.zero_extend32();
    p_truncate1 = |a| a.truncate(1);
    p_truncate2 = |a| a.truncate(2);
    p_truncate4 = |a| a.truncate(4);
    p_sign_extend64_1 = |a| a.sign_extend64(1);
    p_sign_extend64_2 = |a| a.sign_extend64(2);
    p_sign_extend64_4 = |a| a.sign_extend64(4);
    p_sign_extend32_1 = |a| { a.sign_extend32(1); a.zero_extend32() };
    p_sign_extend32_2 = |a| { a.sign_extend32(2); a.zero_extend32() };
}

macro_rules! shift {
    ($($name:ident = $op:expr;)*) => {
        $(#[unsafe(no_mangle)]
        pub fn $name(a: &mut Flat, by: u32) {
            let mut x = get(a);
            let op: fn(&mut Bounds, u32) = $op;
            op(&mut x, by);
            *a = put(&x);
        })*
    };
}

shift! {
    p_shl64 = |a, n| a.shl64(n);
    p_shr64 = |a, n| a.shr64(n);
    p_sar64 = |a, n| a.sar64(n);
    p_shl32 = |a, n| { a.shl32(n); a.zero_extend32() };
    p_shr32 = |a, n| { a.shr32(n); a.zero_extend32() };
    p_sar32 = |a, n| { a.sar32(n); a.zero_extend32() };
    p_set_low = |a, n| a.set_low(n);
}

macro_rules! compare {
    ($($decide:ident, $yes:ident, $no:ident = $cond:expr, $low:expr;)*) => {
        $(#[unsafe(no_mangle)]
        pub fn $decide(a: &Flat, b: &Flat) -> u32 {
            match decide($cond, &get(a), &get(b), $low) {
                Some(false) => 0,
                Some(true) => 1,
                None => 2,
            }
        }
        #[unsafe(no_mangle)]
        pub fn $yes(a: &mut Flat, b: &mut Flat) {
            let (mut x, mut y) = (get(a), get(b));
            refine(Relation::Is($cond), &mut x, &mut y, $low);
            (*a, *b) = (put(&x), put(&y));
        }
        #[unsafe(no_mangle)]
        pub fn $no(a: &mut Flat, b: &mut Flat) {
            let (mut x, mut y) = (get(a), get(b));
            refine(negate($cond), &mut x, &mut y, $low);
            (*a, *b) = (put(&x), put(&y));
        })*
    };
}

compare! {
    d_eq64, y_eq64, n_eq64 = Cond::Eq, false;
    d_ne64, y_ne64, n_ne64 = Cond::Ne, false;
    d_gt64, y_gt64, n_gt64 = Cond::Gt, false;
    d_ge64, y_ge64, n_ge64 = Cond::Ge, false;
    d_lt64, y_lt64, n_lt64 = Cond::Lt, false;
    d_le64, y_le64, n_le64 = Cond::Le, false;
    d_sgt64, y_sgt64, n_sgt64 = Cond::Sgt, false;
    d_sge64, y_sge64, n_sge64 = Cond::Sge, false;
    d_slt64, y_slt64, n_slt64 = Cond::Slt, false;
    d_sle64, y_sle64, n_sle64 = Cond::Sle, false;
    d_set64, y_set64, n_set64 = Cond::Set, false;
    d_eq32, y_eq32, n_eq32 = Cond::Eq, true;
    d_ne32, y_ne32, n_ne32 = Cond::Ne, true;
    d_gt32, y_gt32, n_gt32 = Cond::Gt, true;
    d_ge32, y_ge32, n_ge32 = Cond::Ge, true;
    d_lt32, y_lt32, n_lt32 = Cond::Lt, true;
    d_le32, y_le32, n_le32 = Cond::Le, true;
    d_sgt32, y_sgt32, n_sgt32 = Cond::Sgt, true;
    d_sge32, y_sge32, n_sge32 = Cond::Sge, true;
    d_slt32, y_slt32, n_slt32 = Cond::Slt, true;
    d_sle32, y_sle32, n_sle32 = Cond::Sle, true;
    d_set32, y_set32, n_set32 = Cond::Set, true;
}

unary! {
    p_swap16 = |a| { a.var_off = a.var_off.swap_bytes(2); a.forget_ranges(); a.truncate(2) };
    p_swap32 = |a| { a.var_off = a.var_off.swap_bytes(4); a.forget_ranges(); a.truncate(4) };
    p_swap64 = |a| { a.var_off = a.var_off.swap_bytes(8); a.forget_ranges() };
}

/// Where [`Bounds`] has its fields, in the order of [`Flat`].
#[unsafe(no_mangle)]
pub fn layout(out: &mut [usize; 10]) {
    use std::mem::offset_of;
    let bits = offset_of!(Bounds, var_off);
    *out = [
        bits + offset_of!(Tnum, value),
        bits + offset_of!(Tnum, mask),
        offset_of!(Bounds, umin),
        offset_of!(Bounds, umax),
        offset_of!(Bounds, smin),
        offset_of!(Bounds, smax),
        offset_of!(Bounds, u32_min),
        offset_of!(Bounds, u32_max),
        offset_of!(Bounds, s32_min),
        offset_of!(Bounds, s32_max),
    ];
}

/// One turn of the multiplication of tnums, on flat memory: multiplier, multiplicand, sum.
#[unsafe(no_mangle)]
pub fn t_mul_step(a: &mut Flat, b: &mut Flat, acc: &mut Flat) {
    let (mut x, mut y, mut sum) = (get(a), get(b), get(acc));
    Tnum::mul_step(&mut x.var_off, &mut y.var_off, &mut sum.var_off);
    (*a, *b, *acc) = (put(&x), put(&y), put(&sum));
}

/// A mistake on purpose: the upper end of a sum is one too low. The prover must object.
#[unsafe(no_mangle)]
pub fn wrong_add(a: &mut Flat, b: &Flat) {
    let (mut x, y) = (get(a), get(b));
    x.add(&y);
    if x.umax > x.umin {
        x.umax -= 1;
    }
    *a = put(&x);
}

/// A mistake on purpose: the bits of a difference as if nothing were borrowed.
#[unsafe(no_mangle)]
pub fn wrong_sub(a: &mut Flat, b: &Flat) {
    let (mut x, y) = (get(a), get(b));
    x.sub(&y);
    let (s, t) = (get(a).var_off, y.var_off);
    x.var_off =
        Tnum { value: s.value.wrapping_sub(t.value) & !(s.mask | t.mask), mask: s.mask | t.mask };
    *a = put(&x);
}

/// A mistake on purpose: less-than taken for less-or-equal and the reverse.
#[unsafe(no_mangle)]
pub fn wrong_lt64(a: &mut Flat, b: &mut Flat) {
    let (mut x, mut y) = (get(a), get(b));
    refine(Relation::Is(Cond::Lt), &mut x, &mut y, false);
    x.umax = x.umax.wrapping_sub(1);
    (*a, *b) = (put(&x), put(&y));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of a tnum of few bits.
    fn members(t: Tnum, bits: u32) -> Vec<u64> {
        (0..1u64 << bits).filter(|n| n & !t.mask == t.value).collect()
    }

    fn tnums(bits: u32) -> Vec<Tnum> {
        let all = 0..1u64 << bits;
        all.clone()
            .flat_map(|mask| all.clone().map(move |value| Tnum { value, mask }))
            .filter(|t| t.value & t.mask == 0)
            .collect()
    }

    #[test]
    fn products_of_all_small_tnums() {
        for a in tnums(5) {
            for b in tnums(5) {
                let product = a.mul(b);
                for x in members(a, 5) {
                    for y in members(b, 5) {
                        assert_eq!((x * y) & !product.mask, product.value, "{a:?} * {b:?}");
                    }
                }
            }
        }
    }

    /// Ranges near the ends of every width; every corner of both operands.
    #[test]
    fn products_of_ranges() {
        let edges: Vec<u64> = [0u64, 1 << 15, 1 << 16, 1 << 31, 1 << 32, 1 << 33, 1 << 63]
            .iter()
            .flat_map(|e| (0..5).map(move |d| e.wrapping_add(d).wrapping_sub(2)))
            .collect();
        for lo in &edges {
            for hi in edges.iter().filter(|hi| *hi >= lo) {
                for c in &edges {
                    let mut a = Bounds { umin: *lo, umax: *hi, ..Bounds::UNKNOWN };
                    a.sync();
                    let b = Bounds::constant(*c);
                    let mut product = a;
                    product.mul(&b);
                    for x in edges.iter().filter(|x| a.holds(**x)) {
                        let n = x.wrapping_mul(*c);
                        assert!(product.holds(n), "{x:#x} * {c:#x} not in {product:?}");
                    }
                }
            }
        }
    }
}
