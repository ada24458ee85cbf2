//! Moves: copies stay linked to their source.

use isa::{Src, Width};

use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadPtr, Reg};
use crate::state::{ADD_CONST, RegKind, RegState};

impl Env<'_> {
    pub(super) fn check_mov(&mut self, width: Width, dst: usize, src: Src) -> Checked {
        let src = match src {
            Src::Imm(imm) => {
                self.check_reg_write_keep(dst)?;
                let value = match width {
                    Width::W64 => i64::from(imm) as u64,
                    Width::W32 => u64::from(imm as u32),
                };
                self.mark_reg_known(dst, value);
                return Ok(());
            }
            Src::Reg(src) => src.index(),
        };
        self.check_reg_read(src)?;
        self.check_reg_write_keep(dst)?;
        if width == Width::W64 {
            self.link_before_copy(src);
            *self.reg_mut(dst) = *self.reg(src);
            return Ok(());
        }
        self.check_partial(src, "partial copy of pointer")?;
        let fits = self.reg(src).v.width() <= 32;
        self.copy_number(dst, src, fits);
        let reg = self.reg_mut(dst);
        reg.v.zero_extend32();
        reg.v.sync();
        Ok(())
    }

    pub(super) fn check_mov_sx(
        &mut self,
        width: Width,
        bits: u8,
        dst: usize,
        src: usize,
    ) -> Checked {
        self.check_reg_read(src)?;
        self.check_reg_write_keep(dst)?;
        let refused = match width {
            Width::W64 => "sign-extension part of pointer",
            Width::W32 => "partial copy of pointer",
        };
        self.check_partial(src, refused)?;
        let is_number = self.reg(src).is_scalar();
        let unchanged = self.reg(src).v.umax < 1 << (bits - 1);
        self.copy_number(dst, src, unchanged);
        let size = u32::from(bits) / 8;
        let reg = self.reg_mut(dst);
        match width {
            Width::W64 if is_number => reg.v.sign_extend64(size),
            Width::W64 => {}
            Width::W32 => {
                if is_number {
                    reg.v.sign_extend32(size);
                }
                reg.v.zero_extend32();
                reg.v.sync();
            }
        }
        Ok(())
    }

    fn check_partial(&mut self, src: usize, refused: &'static str) -> Checked {
        if self.is_pointer_value(src) {
            return reject!(EACCES, BadPtr::PartialCopy { reg: Reg(src), what: refused });
        }
        Ok(())
    }

    /// Copies a number (a pointer's copy in part is an unknown one); the copy stays linked only if
    /// it is the same number.
    fn copy_number(&mut self, dst: usize, src: usize, same: bool) {
        if !self.reg(src).is_scalar() {
            self.mark_reg_unknown(dst);
            return;
        }
        if same {
            self.link_before_copy(src);
        }
        let mut copy = *self.reg(src);
        if !same {
            (copy.id, copy.off) = (0, 0);
        }
        *self.reg_mut(dst) = copy;
    }

    /// Gives an unknown number an id that its copies will share.
    pub(crate) fn link_before_copy(&mut self, regno: usize) {
        let mut reg = *self.state.reg(regno);
        if self.link(&mut reg) {
            *self.state.reg_mut(regno) = reg;
        }
    }

    /// As [`Env::link_before_copy`], of a register held elsewhere; whether it changed.
    fn link(&mut self, reg: &mut RegState) -> bool {
        if !reg.is_scalar() {
            return false;
        }
        let had = (reg.id, reg.off);
        if reg.id & ADD_CONST != 0 {
            (reg.id, reg.off) = (0, 0);
        }
        if reg.id == 0 && !reg.v.var_off.is_const() {
            reg.id = self.new_id();
        }
        had != (reg.id, reg.off)
    }

    pub(super) fn check_addr_space_cast(&mut self, dst: usize, src: usize, imm: i32) -> Checked {
        if !self.has_arena() {
            return reject!(EINVAL, BadPtr::NoArena);
        }
        self.check_reg_read(src)?;
        self.check_reg_write(dst)?;
        if imm == 1 {
            self.reg_mut(dst).kind = RegKind::Arena;
        }
        Ok(())
    }

    fn has_arena(&self) -> bool {
        let is_arena = |&i: &usize| self.map(i).def.map_type == uapi::MapType::Arena;
        self.used_maps.iter().any(is_arena)
    }
}
