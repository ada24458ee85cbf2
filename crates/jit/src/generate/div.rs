//! Division: RDX:RAX by a register, its special cases out of the way.

use super::{Cold, ColdWhat, Done, Gen};
use crate::{
    host::{Host, Mem, W},
    state::Val,
    x86::{Arith, Cc, Rm, Unary},
};

impl Gen<'_> {
    pub(super) fn divide(&mut self, w: W, signed: bool, modulo: bool, dst: u8, src: u8) -> Done {
        let b = self.read(src)?;
        if b != Host::R11 {
            self.asm().mov(w, Host::R11, b);
        }
        self.divide_r11(w, signed, modulo, dst, true)
    }

    /// Division by a constant.
    pub(super) fn divide_by(&mut self, w: W, signed: bool, modulo: bool, dst: u8, k: u64) -> Done {
        self.constant(Host::R11, k);
        let special = k == 0 || signed && k == w.cut(u64::MAX);
        self.divide_r11(w, signed, modulo, dst, special)
    }

    /// The divisor is in r11; `special` if it may be 0 or, signed, -1.
    fn divide_r11(&mut self, w: W, signed: bool, modulo: bool, dst: u8, special: bool) -> Done {
        self.state.keep(self.live | 1 << dst);
        if self.state.val(dst) == Val::Dead {
            self.own(dst)?;
        }
        self.vacate_for(dst, Host::RDX)?;
        self.force(dst, Host::RAX)?;
        self.vacate(Host::RDX)?;
        let back = self.out.new_label();
        if special {
            self.test_divisor(w, signed);
            let label = self.out.new_label();
            let cc = if signed { Cc::BE } else { Cc::E };
            self.out.jcc(cc, label);
            let what = ColdWhat::Divisor { w, signed, modulo, divisor: Host::R11 };
            self.colds.push(Cold { label, back, what, pc: self.pc });
        }
        let asm = &mut self.out.asm;
        match signed {
            true => {
                asm.sign_rdx(w);
                asm.unary(w, Unary::Idiv, Host::R11);
            }
            false => {
                asm.mov_imm(Host::RDX, 0, false);
                asm.unary(w, Unary::Div, Host::R11);
            }
        }
        self.out.bind(back);
        let h = if modulo { Host::RDX } else { Host::RAX };
        self.result(dst, h, w == W::W32);
        Ok(())
    }

    /// A value in `h` that only `dst` depends on moves by itself.
    fn vacate_for(&mut self, dst: u8, h: Host) -> Done {
        let own = self.state.val(dst).hosts() & h.bit() != 0;
        if !own {
            self.vacate(h)?;
            self.pinned |= h.bit();
        }
        Ok(())
    }

    fn test_divisor(&mut self, w: W, signed: bool) {
        if !signed {
            return self.asm().test(w, Host::R11, Host::R11);
        }
        // 0 and -1 are those that one more makes at most 1; RDX is free here.
        self.asm().lea(w, Host::RDX, Mem::at(Host::R11, 1));
        self.asm().arith_imm(w, Arith::Cmp, Rm::Reg(Host::RDX), 1);
    }

    /// What was put aside; follows the function.
    /// By 0: the quotient is 0, the remainder the dividend. By -1: negated, and 0.
    pub(super) fn special_divisor(&mut self, w: W, signed: bool, modulo: bool, divisor: Host) {
        let (rax, rdx) = (Host::RAX, Host::RDX);
        if !signed {
            let asm = &mut self.out.asm;
            return match modulo {
                true => asm.mov(w, rdx, rax),
                false => asm.mov_imm(rax, 0, false),
            };
        }
        let minus_one = self.out.new_label();
        let end = self.out.new_label();
        self.asm().test(w, divisor, divisor);
        self.out.jcc(Cc::NE, minus_one);
        match modulo {
            true => self.asm().mov(w, rdx, rax),
            false => self.asm().mov_imm(rax, 0, false),
        }
        self.out.jmp(end);
        self.out.bind(minus_one);
        match modulo {
            true => self.asm().mov_imm(rdx, 0, false),
            false => self.asm().unary(w, Unary::Neg, rax),
        }
        self.out.bind(end);
    }
}
