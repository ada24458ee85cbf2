//! Loads and stores through arena addresses, and their casts to user space.
//!
//! An arena address is a number of 32 bits: the verifier's facts made all arithmetic on it such.

use isa::{Op, Size, Src};

use super::{Done, Gen, mem::log};
use crate::{
    host::{Host, Mem, W},
    x86::{Arith, Rm, Shift, Unary},
};

impl Gen<'_> {
    pub(super) fn arena(&mut self, op: Op) -> Done {
        self.stored = None;
        match op {
            Op::AddrSpaceCast { dst, src, .. } => self.cast_to_user(dst.0, src.0),
            Op::Load { size, signed, dst, base, off } => {
                self.arena_load(size, signed, dst.0, (base.0, off))
            }
            Op::LoadAcquire { size, dst, base, off } => {
                self.arena_load(size, false, dst.0, (base.0, off))
            }
            Op::Store { size, base, off, src } => self.arena_store(size, (base.0, off), src),
            Op::StoreRelease { size, base, off, src } => {
                self.arena_store(size, (base.0, off), Src::Reg(src))
            }
            _ => Err(self.interpreted("an atomic operation on an arena")),
        }
    }

    /// The operand for `base + off` in the arena: r11 and `base`, which is pinned.
    fn arena_address(&mut self, (base, off): (u8, i16)) -> Done<Mem> {
        let Some(arena) = self.unit.options.arena else {
            return Err(self.bug("an arena that is nowhere"));
        };
        let h = self.host(base)?;
        self.pinned |= h.bit();
        self.asm().mov_imm(Host::R11, arena.base, true);
        Ok(Mem { base: Some(Host::R11), index: Some(h), scale: 0, disp: off.into() })
    }

    fn arena_load(&mut self, size: Size, signed: bool, dst: u8, at: (u8, i16)) -> Done {
        let mem = self.arena_address(at)?;
        self.release(dst);
        let h = self.pick(dst)?;
        let start = self.out.asm.len();
        let asm = &mut self.out.asm;
        match (size, signed) {
            (Size::DW, _) => asm.load(W::W64, h, mem),
            (Size::W, false) => asm.load(W::W32, h, mem),
            _ => asm.extend(W::W64, 8 << log(size), signed, h, Rm::Mem(mem)),
        }
        self.out.guard(start, h);
        self.result(dst, h, !signed && size != Size::DW);
        Ok(())
    }

    fn arena_store(&mut self, size: Size, at: (u8, i16), src: Src) -> Done {
        let start = match src {
            Src::Imm(imm) => {
                if !self.fits(imm.into()) {
                    return Err(self.interpreted("a hidden constant for an arena"));
                }
                let mem = self.arena_address(at)?;
                let start = self.out.asm.len();
                self.asm().store_imm(log(size), mem, imm);
                start
            }
            Src::Reg(reg) => {
                let h = self.host(reg.0)?;
                self.pinned |= h.bit();
                let mem = self.arena_address(at)?;
                let start = self.out.asm.len();
                self.asm().store(log(size), mem, h);
                start
            }
        };
        self.out.guard_store(start);
        Ok(())
    }

    /// The low half, with user space's upper half if it is not 0.
    fn cast_to_user(&mut self, dst: u8, src: u8) -> Done {
        let Some(arena) = self.unit.options.arena else {
            return Err(self.bug("an arena that is nowhere"));
        };
        let from = self.host(src)?;
        self.pinned |= from.bit();
        self.release(dst);
        let h = self.pick(dst)?;
        let asm = &mut self.out.asm;
        asm.mov(W::W32, h, from);
        // r11: all ones in the low half unless h is 0.
        asm.lea(W::W64, Host::R11, Mem::at(h, -1));
        asm.shift_imm(W::W64, Shift::Shr, Host::R11, 32);
        asm.unary(W::W32, Unary::Not, Host::R11);
        asm.arith_imm(W::W32, Arith::And, Rm::Reg(Host::R11), arena.user_high as i32);
        asm.shift_imm(W::W64, Shift::Shl, Host::R11, 32);
        asm.arith(W::W64, Arith::Or, h, Rm::Reg(Host::R11));
        self.result(dst, h, false);
        Ok(())
    }
}
