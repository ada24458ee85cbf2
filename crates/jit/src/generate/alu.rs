//! Arithmetic: what can stay symbolic does, the rest is emitted.

use isa::{AluOp, Endian, Src};

use super::{Done, Gen};
use crate::{
    fold::fold,
    host::{Host, Mem, W},
    state::{FP, UnOp, Val},
    x86::{Arith, Rm, Shift, Unary},
};

/// `base + index * 2^scale + disp` as far as known.
#[derive(Clone, Copy, Default)]
struct Terms {
    base: Option<Host>,
    index: Option<(Host, u8)>,
    disp: i64,
}

impl Terms {
    fn count(&self) -> u32 {
        u32::from(self.base.is_some()) + u32::from(self.index.is_some())
    }
}

impl Gen<'_> {
    pub(super) fn alu(&mut self, w: W, op: AluOp, dst: u8, src: Src) -> Done {
        let (known, reg) = match src {
            Src::Imm(imm) => (Some(imm as i64 as u64), None),
            Src::Reg(reg) => match self.state.val(reg.0) {
                Val::Const(k) => (Some(k), Some(reg.0)),
                _ => (None, Some(reg.0)),
            },
        };
        match (known, reg) {
            (Some(k), _) => self.with_constant(w, op, dst, w.cut(k), reg),
            (None, Some(src)) => self.with_register(w, op, dst, src),
            (None, None) => Err(self.bug("an operand of no kind")),
        }
    }

    fn with_register(&mut self, w: W, op: AluOp, dst: u8, src: u8) -> Done {
        match op {
            AluOp::Mov if w == W::W64 => self.copy(dst, src),
            AluOp::Mov => self.low(dst, src),
            AluOp::Or | AluOp::Xor | AluOp::Add if self.rotate(w, dst, src) => Ok(()),
            AluOp::Add => self.add(w, dst, src),
            AluOp::Sub => self.two(w, Arith::Sub, dst, src),
            AluOp::Or => self.two(w, Arith::Or, dst, src),
            AluOp::And => self.two(w, Arith::And, dst, src),
            AluOp::Xor => self.two(w, Arith::Xor, dst, src),
            AluOp::Mul => self.multiply(w, dst, src),
            AluOp::Lsh => self.shift(w, Shift::Shl, dst, src),
            AluOp::Rsh => self.shift(w, Shift::Shr, dst, src),
            AluOp::Arsh => self.shift(w, Shift::Sar, dst, src),
            AluOp::Div => self.divide(w, false, false, dst, src),
            AluOp::Mod => self.divide(w, false, true, dst, src),
            AluOp::Sdiv => self.divide(w, true, false, dst, src),
            AluOp::Smod => self.divide(w, true, true, dst, src),
        }
    }

    /// `k` is already cut to `w`; `reg` is where it comes from, if not from the instruction.
    fn with_constant(&mut self, w: W, op: AluOp, dst: u8, k: u64, reg: Option<u8>) -> Done {
        if op == AluOp::Mov {
            self.state.set(dst, Val::Const(k));
            return Ok(());
        }
        if let Val::Const(old) = self.state.val(dst) {
            self.state.set(dst, Val::Const(fold(w, op, old, k)));
            return Ok(());
        }
        let signed = match w {
            W::W32 => i64::from(k as u32 as i32),
            W::W64 => k as i64,
        };
        let count = (k & u64::from(w.bits() - 1)) as i32;
        match op {
            AluOp::Add if self.add_constant(w, dst, signed)? => Ok(()),
            AluOp::Sub if self.add_constant(w, dst, signed.wrapping_neg())? => Ok(()),
            AluOp::And if self.and_constant(w, dst, k)? => Ok(()),
            AluOp::Mul if self.mul_constant(w, dst, k, signed)? => Ok(()),
            AluOp::Lsh => self.shift_left(w, dst, count),
            AluOp::Rsh => self.shift_right(w, dst, count),
            AluOp::Arsh => self.shift_signed(w, dst, count),
            AluOp::Add => self.two_constant(w, Arith::Add, dst, signed, reg),
            AluOp::Sub => self.two_constant(w, Arith::Sub, dst, signed, reg),
            AluOp::And => self.two_constant(w, Arith::And, dst, signed, reg),
            AluOp::Or => self.two_constant(w, Arith::Or, dst, signed, reg),
            AluOp::Xor if signed == -1 => self.in_place(w, Unary::Not, dst),
            AluOp::Xor => self.two_constant(w, Arith::Xor, dst, signed, reg),
            AluOp::Div if k.is_power_of_two() => {
                self.shift_right(w, dst, k.trailing_zeros() as i32)
            }
            AluOp::Mod if k.is_power_of_two() && self.and_constant(w, dst, k - 1)? => Ok(()),
            AluOp::Mul => {
                self.constant(Host::R11, k);
                let a = self.own(dst)?;
                self.asm().imul(w, a, Host::R11);
                self.result(dst, a, w == W::W32);
                Ok(())
            }
            AluOp::Div => self.divide_by(w, false, false, dst, k),
            AluOp::Mod => self.divide_by(w, false, true, dst, k),
            AluOp::Sdiv => self.divide_by(w, true, false, dst, k),
            AluOp::Smod => self.divide_by(w, true, true, dst, k),
            AluOp::Mov => Ok(()),
        }
    }

    pub(super) fn copy(&mut self, dst: u8, src: u8) -> Done {
        let val = match self.state.val(src) {
            val @ (Val::Reg(_) | Val::Const(_) | Val::Dead) => val,
            val if !self.is_live(src) || src == FP => val,
            _ => Val::Reg(self.host(src)?),
        };
        self.state.set(dst, val);
        Ok(())
    }

    /// `dst` = low half of `src`.
    fn low(&mut self, dst: u8, src: u8) -> Done {
        let val = self.state.val(src);
        if self.state.is_low(val) {
            return self.copy(dst, src);
        }
        let val = match val {
            Val::Const(k) => Val::Const(k as u32 as u64),
            Val::Lea(_, mem) if !self.is_live(src) || src == dst => Val::Lea(W::W32, mem),
            _ => Val::Un(UnOp::Low, W::W32, self.host(src)?, 0),
        };
        self.state.set(dst, val);
        Ok(())
    }

    fn terms(&self, w: W, val: Val) -> Option<Terms> {
        let fits = |other: W| w == W::W32 || other == W::W64;
        Some(match val {
            Val::Reg(h) => Terms { base: Some(h), ..Terms::default() },
            Val::Lea(lw, mem) if fits(lw) => Terms {
                base: mem.base,
                index: mem.index.map(|h| (h, mem.scale)),
                disp: mem.disp.into(),
            },
            Val::Un(UnOp::Shl, uw, h, n @ 0..=3) if fits(uw) => {
                Terms { index: Some((h, n as u8)), ..Terms::default() }
            }
            Val::Un(UnOp::Low, _, h, _) if w == W::W32 => {
                Terms { base: Some(h), ..Terms::default() }
            }
            _ => return None,
        })
    }

    fn lea(&self, w: W, terms: Terms) -> Option<Val> {
        let disp = match w {
            W::W32 => terms.disp as i32,
            W::W64 => i32::try_from(terms.disp).ok()?,
        };
        // Sums of small constants must not become large ones.
        if self.unit.options.blind.is_some() && i16::try_from(disp).is_err() {
            return None;
        }
        let (index, scale) = match terms.index {
            Some((h, scale)) => (Some(h), scale),
            None => (None, 0),
        };
        Some(match (terms.base, index) {
            (Some(base), None) if disp == 0 && w == W::W64 => Val::Reg(base),
            (base, index) => Val::Lea(w, Mem { base, index, scale, disp }),
        })
    }

    fn add_constant(&mut self, w: W, dst: u8, k: i64) -> Done<bool> {
        if !self.fits(k) {
            return Ok(false);
        }
        let terms = match self.terms(w, self.state.val(dst)) {
            Some(terms) => terms,
            None => Terms { base: Some(self.host(dst)?), ..Terms::default() },
        };
        let sum = Terms { disp: terms.disp + k, ..terms };
        let val = match self.lea(w, sum) {
            Some(val) => val,
            None => {
                let base = Some(self.host(dst)?);
                match self.lea(w, Terms { base, index: None, disp: k }) {
                    Some(val) => val,
                    None => return Ok(false),
                }
            }
        };
        self.state.set(dst, val);
        Ok(true)
    }

    fn add(&mut self, w: W, dst: u8, src: u8) -> Done {
        let mut a = self.terms(w, self.state.val(dst));
        let mut b = self.terms(w, self.state.val(src));
        let plain = |h: Host| Some(Terms { base: Some(h), ..Terms::default() });
        if a.is_none_or(|a| a.count() == 2) {
            a = plain(self.host(dst)?);
            b = self.terms(w, self.state.val(src));
        }
        let both = |a: &Option<Terms>, b: &Option<Terms>| match (a, b) {
            (Some(a), Some(b)) => combine(*a, *b),
            _ => None,
        };
        let sum = both(&a, &b).and_then(|sum| self.lea(w, sum));
        let sum = match sum {
            Some(val) => val,
            None => {
                let h = self.host(src)?;
                a = self.terms(w, self.state.val(dst));
                b = plain(h);
                match both(&a, &b).and_then(|sum| self.lea(w, sum)) {
                    Some(val) => val,
                    None => return self.two(w, Arith::Add, dst, src),
                }
            }
        };
        self.state.set(dst, sum);
        Ok(())
    }

    /// Shift left and shift right of the same register, together its width.
    fn rotate(&mut self, w: W, dst: u8, src: u8) -> bool {
        let (Val::Un(op1, w1, h1, n1), Val::Un(op2, w2, h2, n2)) =
            (self.state.val(dst), self.state.val(src))
        else {
            return false;
        };
        let left = match (op1, op2) {
            (UnOp::Shl, UnOp::Shr) => n1,
            (UnOp::Shr, UnOp::Shl) => n2,
            _ => return false,
        };
        let same = w1 == w && w2 == w && h1 == h2 && n1 + n2 == w.bits() as i32;
        if same {
            self.state.set(dst, Val::Un(UnOp::Rol, w, h1, left));
        }
        same
    }

    /// `dst op= src` in a register.
    fn two(&mut self, w: W, op: Arith, dst: u8, src: u8) -> Done {
        let b = self.read(src)?;
        self.pinned |= b.bit();
        self.state.keep(self.live | 1 << dst);
        if op != Arith::Sub && dst != src && self.takes_over(dst, b) {
            let a = self.read(dst)?;
            self.asm().arith(w, op, b, Rm::Reg(a));
            self.set_flags(b, w);
            self.result(dst, b, w == W::W32);
            return Ok(());
        }
        let a = self.own(dst)?;
        self.asm().arith(w, op, a, Rm::Reg(b));
        self.set_flags(a, w);
        self.result(dst, a, w == W::W32);
        Ok(())
    }

    /// Whether a commutative operation on `dst` better happens in `b`, which nobody needs then.
    fn takes_over(&self, dst: u8, b: Host) -> bool {
        let alone = matches!(self.state.val(dst), Val::Reg(h) if self.state.refs(h) == 1);
        self.state.refs(b) == 0 && self.frame.hosts & b.bit() != 0 && !alone
    }

    fn two_constant(&mut self, w: W, op: Arith, dst: u8, k: i64, reg: Option<u8>) -> Done {
        if self.fits(k) {
            let a = self.own(dst)?;
            self.asm().arith_imm(w, op, Rm::Reg(a), k as i32);
            self.set_flags(a, w);
            self.result(dst, a, w == W::W32);
            return Ok(());
        }
        match reg.filter(|r| *r != dst) {
            Some(reg) => self.two(w, op, dst, reg),
            None => {
                let a = self.own(dst)?;
                self.constant(Host::R11, w.cut(k as u64));
                self.asm().arith(w, op, a, Rm::Reg(Host::R11));
                self.result(dst, a, w == W::W32);
                Ok(())
            }
        }
    }

    fn multiply(&mut self, w: W, dst: u8, src: u8) -> Done {
        let b = self.read(src)?;
        self.pinned |= b.bit();
        self.state.keep(self.live | 1 << dst);
        if dst != src && self.takes_over(dst, b) {
            let a = self.read(dst)?;
            self.asm().imul(w, b, a);
            self.result(dst, b, w == W::W32);
            return Ok(());
        }
        let a = self.own(dst)?;
        self.asm().imul(w, a, b);
        self.result(dst, a, w == W::W32);
        Ok(())
    }

    fn mul_constant(&mut self, w: W, dst: u8, k: u64, signed: i64) -> Done<bool> {
        if k == 0 {
            self.state.set(dst, Val::Const(0));
            return Ok(true);
        }
        if k.is_power_of_two() {
            self.shift_left(w, dst, k.trailing_zeros() as i32)?;
            return Ok(true);
        }
        if !self.fits(signed) {
            return Ok(false);
        }
        let h = match self.state.val(dst) {
            Val::Un(UnOp::Low, _, h, _) if w == W::W32 => h,
            _ => self.host(dst)?,
        };
        let val = match k {
            3 | 5 | 9 => {
                let scale = (k - 1).trailing_zeros() as u8;
                Val::Lea(w, Mem { base: Some(h), index: Some(h), scale, disp: 0 })
            }
            _ => Val::Un(UnOp::Mul, w, h, signed as i32),
        };
        self.state.set(dst, val);
        Ok(true)
    }

    fn and_constant(&mut self, w: W, dst: u8, k: u64) -> Done<bool> {
        let mask = match self.state.val(dst) {
            Val::Un(UnOp::And, uw, _, m) => k & uw.cut(m as i64 as u64),
            _ => k,
        };
        let (w, imm) = match mask {
            0..=0xffff_ffff => (W::W32, mask as u32 as i32),
            _ => (w, mask as i32),
        };
        let exact = w.cut(imm as i64 as u64) == mask;
        if mask == 0 {
            self.state.set(dst, Val::Const(0));
            return Ok(true);
        }
        if mask == u64::from(u32::MAX) && !matches!(self.state.val(dst), Val::Un(UnOp::And, ..)) {
            self.low(dst, dst)?;
            return Ok(true);
        }
        if !exact || !(self.fits(imm.into()) || mask == 0xff || mask == 0xffff) {
            return Ok(false);
        }
        let h = match self.state.val(dst) {
            Val::Un(UnOp::And, _, h, _) => h,
            Val::Un(UnOp::Low, _, h, _) if w == W::W32 => h,
            _ => self.host(dst)?,
        };
        self.state.set(dst, Val::Un(UnOp::And, w, h, imm));
        Ok(true)
    }

    fn shift_left(&mut self, w: W, dst: u8, n: i32) -> Done {
        let bits = w.bits() as i32;
        if n == 0 {
            return self.no_shift(w, dst);
        }
        let (h, n) = match self.state.val(dst) {
            Val::Un(UnOp::Shl, uw, h, m) if uw == w => (h, m + n),
            Val::Un(UnOp::Low, _, h, _) if w == W::W32 || n >= 32 => (h, n),
            _ => (self.host(dst)?, n),
        };
        let val = if n < bits { Val::Un(UnOp::Shl, w, h, n) } else { Val::Const(0) };
        self.state.set(dst, val);
        Ok(())
    }

    fn shift_right(&mut self, w: W, dst: u8, n: i32) -> Done {
        let bits = w.bits() as i32;
        if n == 0 {
            return self.no_shift(w, dst);
        }
        let val = match self.state.val(dst) {
            Val::Un(UnOp::Shl, uw, h, m) if uw == w && m == n => match bits - n {
                32 if self.state.is_zero_extended(h) => Val::Reg(h),
                32 => Val::Un(UnOp::Low, W::W32, h, 0),
                16 => Val::Un(UnOp::And, W::W32, h, 0xffff),
                8 => Val::Un(UnOp::And, W::W32, h, 0xff),
                _ => Val::Un(UnOp::Shr, w, self.host(dst)?, n),
            },
            Val::Un(UnOp::Shr, uw, h, m) if uw == w && m + n < bits => {
                Val::Un(UnOp::Shr, w, h, m + n)
            }
            Val::Un(UnOp::Low, _, h, _) if n < 32 => Val::Un(UnOp::Shr, W::W32, h, n),
            _ => Val::Un(UnOp::Shr, w, self.host(dst)?, n),
        };
        self.state.set(dst, val);
        Ok(())
    }

    fn shift_signed(&mut self, w: W, dst: u8, n: i32) -> Done {
        if n == 0 {
            return self.no_shift(w, dst);
        }
        if let Val::Un(UnOp::Shl, uw, h, m) = self.state.val(dst)
            && uw == w
            && m == n
            && matches!(w.bits() as i32 - n, 8 | 16 | 32)
        {
            self.release(dst);
            let to = self.pick(dst)?;
            self.asm().extend(w, w.bits() - n as u32, true, to, Rm::Reg(h));
            self.result(dst, to, w == W::W32);
            return Ok(());
        }
        let h = self.host(dst)?;
        self.state.set(dst, Val::Un(UnOp::Sar, w, h, n));
        Ok(())
    }

    fn no_shift(&mut self, w: W, dst: u8) -> Done {
        if w == W::W32 { self.low(dst, dst) } else { Ok(()) }
    }

    fn shift(&mut self, w: W, op: Shift, dst: u8, src: u8) -> Done {
        let mask = w.bits() as i32 - 1;
        let count = match self.state.val(src) {
            Val::Un(UnOp::And, _, h, m) if m & mask == mask => h,
            Val::Un(UnOp::Low, _, h, _) => h,
            _ => self.read(src)?,
        };
        self.pinned |= count.bit();
        let value = self.host(dst)?;
        if self.unit.options.bmi {
            self.release(dst);
            let to = self.pick(dst)?;
            self.asm().shift_x(w, op, to, value, count);
            self.result(dst, to, w == W::W32);
            return Ok(());
        }
        self.shift_by_cl(w, op, dst, value, count)
    }

    fn shift_by_cl(&mut self, w: W, op: Shift, dst: u8, value: Host, count: Host) -> Done {
        let mut count = count;
        if count == Host::R11 {
            // The count passed through r11, which the value needs.
            let to = self.pick(FP)?;
            self.asm().mov(W::W64, to, count);
            count = to;
            self.pinned |= to.bit();
        }
        self.asm().mov(W::W64, Host::R11, value);
        self.release(dst);
        if count != Host::RCX {
            self.pinned = count.bit();
            self.vacate(Host::RCX)?;
            self.asm().mov(W::W32, Host::RCX, count);
            self.pinned = 0;
        }
        self.asm().shift_cl(w, op, Host::R11);
        let to = self.pick(dst)?;
        self.asm().mov(w, to, Host::R11);
        self.result(dst, to, w == W::W32);
        Ok(())
    }

    pub(super) fn neg(&mut self, w: W, dst: u8) -> Done {
        self.in_place(w, Unary::Neg, dst)
    }

    fn in_place(&mut self, w: W, op: Unary, dst: u8) -> Done {
        let a = self.own(dst)?;
        self.asm().unary(w, op, a);
        self.result(dst, a, w == W::W32);
        Ok(())
    }

    pub(super) fn sign_extend(&mut self, w: W, bits: u32, dst: u8, src: u8) -> Done {
        let h = self.read(src)?;
        self.release(dst);
        let to = self.pick(dst)?;
        self.asm().extend(w, bits, true, to, Rm::Reg(h));
        self.result(dst, to, w == W::W32);
        Ok(())
    }

    pub(super) fn count_bits(&mut self, w: W, dst: u8, src: u8) -> Done {
        let h = self.read(src)?;
        self.release(dst);
        let to = self.pick(dst)?;
        self.asm().popcnt(w, to, h);
        self.result(dst, to, true);
        Ok(())
    }

    pub(super) fn byte_order(&mut self, kind: Endian, bits: u32, dst: u8) -> Done {
        match (kind, bits) {
            (Endian::ToLe, 16) => self.with_constant(W::W64, AluOp::And, dst, 0xffff, None),
            (Endian::ToLe, 32) => self.low(dst, dst),
            (Endian::ToLe, _) => Ok(()),
            _ => self.swap(bits, dst),
        }
    }

    fn swap(&mut self, bits: u32, dst: u8) -> Done {
        let a = self.own(dst)?;
        let asm = self.asm();
        match bits {
            16 => {
                asm.swap16(a);
                asm.extend(W::W32, 16, false, a, Rm::Reg(a));
            }
            32 => asm.bswap(W::W32, a),
            _ => asm.bswap(W::W64, a),
        }
        self.result(dst, a, bits != 64);
        Ok(())
    }
}

fn combine(a: Terms, b: Terms) -> Option<Terms> {
    let disp = a.disp + b.disp;
    let terms = match (a.base, a.index, b.base, b.index) {
        (Some(x), None, Some(y), None) if y == Host::RSP => (Some(y), Some((x, 0))),
        (Some(x), None, Some(y), None) => (Some(x), Some((y, 0))),
        (Some(x), None, None, i) | (None, i, Some(x), None) => (Some(x), i),
        (None, None, x, i) | (x, i, None, None) => (x, i),
        _ => return None,
    };
    if matches!(terms.1, Some((Host::RSP, _))) {
        return None;
    }
    Some(Terms { base: terms.0, index: terms.1, disp })
}
