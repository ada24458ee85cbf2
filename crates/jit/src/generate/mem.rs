//! Loads and stores.

use isa::{Size, Src};

use super::{Done, Gen, source};
use crate::{
    host::{Host, Mem, W},
    state::{FP, UnOp, Val},
    x86::Rm,
};

/// Binary logarithm of the size.
pub(super) fn log(size: Size) -> u8 {
    size as u8
}

impl Gen<'_> {
    /// The operand for `base + off`; its registers are pinned.
    pub(super) fn address(&mut self, base: u8, off: i16) -> Done<Mem> {
        let off = i32::from(off);
        let folded = match self.state.val(base) {
            Val::Lea(W::W64, mem) => mem.disp.checked_add(off).map(|disp| Mem { disp, ..mem }),
            Val::Un(UnOp::Shl, W::W64, h, imm @ 0..=3) => {
                Some(Mem { base: None, index: Some(h), scale: imm as u8, disp: off })
            }
            _ => None,
        };
        let mem = match folded {
            Some(mem) => mem,
            None => Mem::at(self.host(base)?, off),
        };
        for h in mem.hosts() {
            self.pinned |= h.bit();
        }
        Ok(mem)
    }

    pub(super) fn load(
        &mut self,
        size: Size,
        signed: bool,
        dst: u8,
        base: u8,
        off: i16,
        guarded: bool,
    ) -> Done {
        let mem = self.address(base, off)?;
        self.release(dst);
        let h = self.pick(dst)?;
        let at = self.out.asm.len();
        let rm = Rm::Mem(mem);
        let asm = &mut self.out.asm;
        match (size, signed) {
            (Size::DW, _) => asm.load(W::W64, h, mem),
            (Size::W, false) => asm.load(W::W32, h, mem),
            _ => asm.extend(W::W64, 8 << log(size), signed, h, rm),
        }
        if guarded {
            self.out.guard(at, h);
        }
        self.result(dst, h, !signed && size != Size::DW);
        Ok(())
    }

    pub(super) fn store(&mut self, size: Size, base: u8, off: i16, src: Src) -> Done {
        self.note_store(size, base, off, src);
        let mem = self.address(base, off)?;
        let log = log(size);
        match source(src) {
            Err(imm) if self.fits(imm.into()) => self.asm().store_imm(log, mem, imm),
            Err(imm) => {
                self.constant(Host::R11, imm as i64 as u64);
                self.asm().store(log, mem, Host::R11);
            }
            Ok(src) => match self.state.val(src) {
                Val::Const(k) if self.store_imm(size, k).is_some() => {
                    let imm = self.store_imm(size, k).unwrap_or(0);
                    self.asm().store_imm(log, mem, imm);
                }
                // The low bytes are the same.
                Val::Un(UnOp::Low, _, h, _) if size != Size::DW => self.asm().store(log, mem, h),
                _ => {
                    let h = self.read(src)?;
                    self.asm().store(log, mem, h);
                }
            },
        }
        Ok(())
    }

    /// Keeps what is known of the stack up to date.
    fn note_store(&mut self, size: Size, base: u8, off: i16, src: Src) {
        let (start, end) = (i32::from(off), i32::from(off) + size.bytes() as i32);
        let value = match source(src) {
            Err(imm) => Some(imm as u32),
            Ok(src) => match self.state.val(src) {
                Val::Const(value) => Some(value as u32),
                _ => None,
            },
        };
        match (value, size) {
            // Anywhere, perhaps on the stack.
            _ if base != FP => self.stored = None,
            (Some(value), Size::W | Size::DW) => self.stored = Some((start, value)),
            _ => self.stored = self.stored.filter(|&(at, _)| at + 4 <= start || end <= at),
        }
    }

    /// `value` as the immediate of a store of `size`.
    fn store_imm(&self, size: Size, value: u64) -> Option<i32> {
        let signed = match size {
            Size::B => i64::from(value as i8),
            Size::H => i64::from(value as i16),
            Size::W => i64::from(value as i32),
            Size::DW => value as i64,
        };
        self.fits(signed).then_some(signed as i32)
    }
}
