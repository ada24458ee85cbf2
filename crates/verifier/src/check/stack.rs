//! Loads from and stores to the stack: spilled registers keep what is known of them.

use super::AccessKind;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadStack, Bits, Reg};
use crate::state::{FuncState, HistFlags, RegKind, RegState, SlotByte, slot_of};
use crate::transfer::ptr::MAX_VAR_OFF;

/// What a store writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stored {
    /// A register of the current frame.
    Reg(usize),
    /// The immediate of the store instruction.
    Imm(i32),
    /// Something unknown, by a helper.
    Unknown,
}

impl Env<'_> {
    /// A store through a stack pointer; `off` includes the pointer's constant part.
    pub(super) fn check_stack_write(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        value: Option<usize>,
        insn_idx: usize,
    ) -> Checked {
        let stored = match value {
            Some(value) => Stored::Reg(value),
            None => self.stored_immediate(insn_idx),
        };
        let ptr = *self.reg(regno);
        match ptr.v.as_const() {
            Some(var) => {
                let off = off.wrapping_add(var as i32);
                self.write_fixed(ptr.frameno.into(), off, size, stored, insn_idx)
            }
            None => self.write_variable(&ptr, off, size, stored, insn_idx),
        }
    }

    fn stored_immediate(&self, insn_idx: usize) -> Stored {
        const ST_MEM: u8 = 0x62;
        let insn = self.prog.insns[insn_idx];
        if insn.code & 0xe7 == ST_MEM { Stored::Imm(insn.imm) } else { Stored::Unknown }
    }

    fn write_fixed(
        &mut self,
        frame: usize,
        off: i32,
        size: i32,
        stored: Stored,
        insn_idx: usize,
    ) -> Checked {
        let spi = slot_of(off);
        let slot = *self.state.frame(frame).stack.slot(spi);
        if !self.caps.allow_ptr_leaks && slot.is_spilled() && !slot.spilled.is_scalar() && size != 8
        {
            return reject!(EACCES, BadStack::CorruptsSpill);
        }
        let reg = match stored {
            Stored::Reg(n) => Some(*self.reg(n)),
            _ => None,
        };
        if !self.caps.bypass_spec_v4 {
            let holds_more = (0..size).any(|i| {
                let byte = slot.bytes[byte_of(off + i)];
                !matches!(byte, SlotByte::Misc | SlotByte::Zero)
            });
            if holds_more || reg.is_some_and(|r| is_spillable(r.kind)) {
                self.aux[insn_idx].nospec_result = true;
            }
        }
        self.destroy_dynptr(frame, spi)?;
        if off % 8 == 0 && size == 8 {
            self.store.live.mark_write(frame, 1 << spi);
        }
        self.check_fastcall_contract(frame, insn_idx, off);
        self.log.scratch_slot(spi);
        let aligned = off % 8 == 0;
        let capable = self.caps.bpf_capable;
        match (stored, reg) {
            (Stored::Reg(n), Some(reg)) if aligned && capable && reg.is_scalar() => {
                let fits = reg.v.width() <= 8 * size as u32;
                if fits {
                    self.link_before_copy(n);
                }
                let mut copy = *self.reg(n);
                if !fits {
                    (copy.id, copy.off) = (0, 0);
                }
                self.save_register(frame, spi, copy, size);
            }
            (Stored::Imm(imm), _) if aligned && capable => {
                let reg = RegState::constant(i64::from(imm) as u64);
                self.save_register(frame, spi, reg, size);
            }
            (_, Some(reg)) if is_spillable(reg.kind) => {
                if size != 8 {
                    self.say_source_line(insn_idx);
                    return reject!(EACCES, BadStack::SpillSize);
                }
                if frame != self.state.curframe() && reg.kind == RegKind::Stack {
                    return reject!(EINVAL, BadStack::IntoCaller);
                }
                self.save_register(frame, spi, reg, size);
            }
            _ => return self.write_bytes(frame, off, size, stored, reg),
        }
        self.push_history(HistFlags::STACK_ACCESS, frame as u8, spi as u8, 0);
        Ok(())
    }

    /// Bytes of a number that is not kept as a register.
    fn write_bytes(
        &mut self,
        frame: usize,
        off: i32,
        size: i32,
        stored: Stored,
        reg: Option<RegState>,
    ) -> Checked {
        let spi = slot_of(off);
        scrub_slot(self.state.frame_mut(frame), spi);
        let zero = stored == Stored::Imm(0) || reg.is_some_and(|r| r.is_null());
        if zero && let Stored::Reg(n) = stored {
            // The zero's origin matters to whoever reads the zeroes.
            self.mark_chain_precision(n)?;
        }
        let byte = if zero { SlotByte::Zero } else { SlotByte::Misc };
        let slot = self.state.frame_mut(frame).stack.slot_mut(spi);
        for i in 0..size {
            slot.bytes[byte_of(off + i)] = byte;
        }
        Ok(())
    }

    fn write_variable(
        &mut self,
        ptr: &RegState,
        off: i32,
        size: i32,
        stored: Stored,
        insn_idx: usize,
    ) -> Checked {
        let frame = usize::from(ptr.frameno);
        let (min, max) = (ptr.v.smin as i32 + off, ptr.v.smax as i32 + off + size);
        let zero = match stored {
            Stored::Reg(n) => self.reg(n).is_null(),
            Stored::Imm(imm) => imm == 0,
            Stored::Unknown => false,
        };
        for at in min..max {
            self.destroy_dynptr(frame, slot_of(at))?;
        }
        self.check_fastcall_contract(frame, insn_idx, min);
        let mut zero_used = false;
        for at in min..max {
            let (spi, byte) = (slot_of(at), byte_of(at));
            self.log.scratch_slot(spi);
            let slot = *self.state.frame(frame).stack.slot(spi);
            let old = slot.bytes[byte];
            if !self.caps.allow_ptr_leaks && !matches!(old, SlotByte::Misc | SlotByte::Zero) {
                return reject!(EINVAL, BadStack::VariableOverSpill { insn: insn_idx, off: at });
            }
            if zero && old == SlotByte::Spill && slot.is_spilled() && slot.spilled.is_null() {
                zero_used = true;
                continue;
            }
            scrub_slot(self.state.frame_mut(frame), spi);
            // Scrubbing may have changed the byte.
            let old = self.state.frame(frame).stack.slot(spi).bytes[byte];
            let mut new = SlotByte::Misc;
            if zero && old == SlotByte::Zero {
                new = SlotByte::Zero;
                zero_used = true;
            }
            if old == SlotByte::Invalid && !self.caps.allow_uninit_stack {
                return reject!(EINVAL, BadStack::VariableOverUnset { insn: insn_idx, off: at });
            }
            self.state.frame_mut(frame).stack.slot_mut(spi).bytes[byte] = new;
        }
        if zero_used && let Stored::Reg(n) = stored {
            self.mark_chain_precision(n)?;
        }
        Ok(())
    }

    fn save_register(&mut self, frame: usize, spi: usize, reg: RegState, size: i32) {
        let slot = self.state.frame_mut(frame).stack.slot_mut(spi);
        slot.spilled = reg;
        let first = 8 - size as usize;
        slot.bytes[first..].fill(SlotByte::Spill);
        for byte in &mut slot.bytes[..first] {
            mark_misc(byte);
        }
    }

    /// A load through a stack pointer; `dst`: the register loaded, if any.
    pub(super) fn check_stack_read(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        dst: Option<usize>,
    ) -> Checked {
        let ptr = *self.reg(regno);
        let Some(var) = ptr.v.as_const() else {
            let Some(dst) = dst else {
                return reject!(
                    EACCES,
                    BadStack::VariableToHelper { var_off: Bits(ptr.v.var_off), off, size }
                );
            };
            return self.read_variable(regno, &ptr, off, size, dst);
        };
        self.read_fixed(ptr.frameno.into(), off.wrapping_add(var as i32), size, dst)
    }

    fn read_fixed(&mut self, frame: usize, off: i32, size: i32, dst: Option<usize>) -> Checked {
        let spi = slot_of(off);
        let slot = *self.state.frame(frame).stack.slot(spi);
        self.log.scratch_slot(spi);
        self.mark_stack_read(frame, spi);
        self.check_fastcall_contract(self.state.curframe(), self.insn_idx, off);
        let mut from_spill = true;
        if slot.is_spilled() {
            let spill_size =
                8 - slot.bytes.iter().rposition(|b| *b != SlotByte::Spill).map_or(0, |i| i + 1)
                    as i32;
            let reg = slot.spilled;
            if size == 8 && spill_size == 8 {
                match dst {
                    Some(dst) => *self.reg_mut(dst) = reg,
                    None if !self.caps.allow_ptr_leaks && reg.is_not_scalar() => {
                        return reject!(EACCES, BadStack::LeaksPointer { off });
                    }
                    None => {}
                }
            } else {
                if !reg.is_scalar() {
                    self.say_source_line(self.insn_idx);
                    return reject!(EACCES, BadStack::FillSize);
                }
                let Some(dst) = dst else { return Ok(()) };
                from_spill = self.fill_part(&slot, off, size, spill_size, dst)?;
            }
        } else {
            for i in 0..size {
                self.check_readable(slot.bytes[byte_of(off + i)], off, i, size, false)?;
            }
            if let Some(dst) = dst {
                self.load_bytes(frame, off, off + size, dst);
            }
            from_spill = false;
        }
        if from_spill {
            self.push_history(HistFlags::STACK_ACCESS, frame as u8, spi as u8, 0);
        }
        Ok(())
    }

    /// A load of part of a spilled number; whether it is still that register's value.
    fn fill_part(
        &mut self,
        slot: &crate::state::StackSlot,
        off: i32,
        size: i32,
        spill_size: i32,
        dst: usize,
    ) -> Checked<bool> {
        // Little-endian: the low bytes of the spill are those at its start.
        if size <= spill_size && off % 8 == 0 {
            let mut reg = slot.spilled;
            if reg.v.width() > 8 * size as u32 {
                (reg.id, reg.off) = (0, 0);
            }
            *self.reg_mut(dst) = reg;
            return Ok(true);
        }
        let (mut spilled, mut zeroes) = (0, 0);
        for i in 0..size {
            match slot.bytes[byte_of(off + i)] {
                SlotByte::Spill => spilled += 1,
                SlotByte::Zero => zeroes += 1,
                byte => self.check_readable(byte, off, i, size, true)?,
            }
        }
        if spilled == size && slot.spilled.v.as_const() == Some(0) {
            self.mark_reg_known(dst, 0);
            return Ok(true);
        }
        if zeroes == size {
            self.mark_reg_known(dst, 0);
        } else {
            self.mark_reg_unknown(dst);
        }
        Ok(false)
    }

    fn check_readable(&self, byte: SlotByte, off: i32, i: i32, size: i32, spill: bool) -> Checked {
        let ok = match byte {
            SlotByte::Misc | SlotByte::Zero => true,
            SlotByte::Spill => spill,
            SlotByte::Invalid => self.caps.allow_uninit_stack,
            _ => false,
        };
        if ok { Ok(()) } else { reject!(EACCES, BadStack::Unset { off, byte: i, size }) }
    }

    /// The register becomes zero if all bytes are, else unknown.
    fn load_bytes(&mut self, frame: usize, min: i32, max: i32, dst: usize) {
        let mut all_zero = true;
        for at in min..max {
            let spi = slot_of(at);
            self.log.scratch_slot(spi);
            if self.state.frame(frame).stack.slot(spi).bytes[byte_of(at)] != SlotByte::Zero {
                all_zero = false;
                break;
            }
        }
        if all_zero {
            self.mark_reg_known(dst, 0);
        } else {
            self.mark_reg_unknown(dst);
        }
    }

    fn read_variable(
        &mut self,
        regno: usize,
        ptr: &RegState,
        off: i32,
        size: i32,
        dst: usize,
    ) -> Checked {
        self.check_stack_range_initialized(regno, off, size, false, AccessKind::Read, None)?;
        let (min, max) = (ptr.v.smin as i32 + off, ptr.v.smax as i32 + off);
        let frame = usize::from(ptr.frameno);
        self.load_bytes(frame, min, max + size, dst);
        self.check_fastcall_contract(frame, self.insn_idx, min);
        Ok(())
    }

    /// Every byte of the range holds something that may be read (or is about to be written by a
    /// helper: `raw` receives register and size then).
    pub(crate) fn check_stack_range_initialized(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        zero_allowed: bool,
        kind: AccessKind,
        mut raw: Option<&mut Option<(usize, i32)>>,
    ) -> Checked {
        let ptr = *self.reg(regno);
        if size == 0 && !zero_allowed {
            return reject!(EACCES, BadStack::ZeroSized);
        }
        let clobber = kind == AccessKind::Write;
        self.check_stack_bounds(regno, off, size, kind)?;
        let known = ptr.v.as_const();
        let (min, max) = match known {
            Some(var) => (var as i32 + off, var as i32 + off),
            None => {
                if !self.caps.bypass_spec_v1 {
                    return reject!(
                        EACCES,
                        BadStack::VariableForbidden {
                            reg: Reg(regno),
                            var_off: Bits(ptr.v.var_off)
                        }
                    );
                }
                raw = None;
                (ptr.v.smin as i32 + off, ptr.v.smax as i32 + off)
            }
        };
        let frame = usize::from(ptr.frameno);
        if let Some(raw) = raw {
            for at in min..max + size {
                let stack = &self.state.frame(frame).stack;
                let byte = stack.slots().get(slot_of(at)).map(|s| s.bytes[byte_of(at)]);
                if byte == Some(SlotByte::Dynptr) {
                    return reject!(EACCES, BadStack::OverDynptr { off: at });
                }
            }
            *raw = Some((regno, size));
            return Ok(());
        }
        for at in min..max + size {
            let spi = slot_of(at);
            if !self.make_readable(frame, at, clobber) {
                let (reg, byte, var_off) = (Reg(regno), at - min, Bits(ptr.v.var_off));
                return match known {
                    Some(_) => {
                        reject!(EACCES, BadStack::UnsetForHelper { reg, off: min, byte, size })
                    }
                    None => reject!(EACCES, BadStack::UnsetVariable { reg, var_off, byte, size }),
                };
            }
            self.mark_stack_read(frame, spi);
        }
        Ok(())
    }

    /// Whether the byte may be read; a helper that may write it makes it unknown.
    fn make_readable(&mut self, frame: usize, at: i32, clobber: bool) -> bool {
        let (spi, byte) = (slot_of(at), byte_of(at));
        let caps = self.caps;
        let Some(slot) = self.state.frame(frame).stack.slots().get(spi) else { return false };
        let (slot, unknown) = (*slot, self.unknown_reg());
        match slot.bytes[byte] {
            SlotByte::Misc => return true,
            SlotByte::Zero => {}
            SlotByte::Invalid if caps.allow_uninit_stack => {}
            _ if slot.is_spilled() && (slot.spilled.is_scalar() || caps.allow_ptr_leaks) => {
                if clobber {
                    let slot = self.state.frame_mut(frame).stack.slot_mut(spi);
                    slot.spilled = unknown;
                    for byte in &mut slot.bytes {
                        scrub_byte(byte);
                    }
                }
                return true;
            }
            _ => return false,
        }
        if clobber {
            self.state.frame_mut(frame).stack.slot_mut(spi).bytes[byte] = SlotByte::Misc;
        }
        true
    }

    /// The range lies in the frame's 512 bytes; the stack grows to hold it.
    pub(super) fn check_stack_bounds(
        &mut self,
        regno: usize,
        off: i32,
        size: i32,
        kind: AccessKind,
    ) -> Checked {
        let ptr = *self.reg(regno);
        let what = if kind == AccessKind::Read { "read from" } else { "write to" };
        let known = ptr.v.as_const();
        let (min, max) = match known {
            Some(var) => {
                let min = (var as i64).wrapping_add(off.into());
                (min, min.wrapping_add(size.into()))
            }
            None => {
                if ptr.v.smax >= MAX_VAR_OFF || ptr.v.smin <= -MAX_VAR_OFF {
                    return reject!(
                        EACCES,
                        BadStack::UnboundedVariable { access: what, reg: Reg(regno) }
                    );
                }
                (ptr.v.smin + i64::from(off), ptr.v.smax + i64::from(off) + i64::from(size))
            }
        };
        let frame = usize::from(ptr.frameno);
        let lowest = if kind == AccessKind::Write || self.caps.allow_uninit_stack {
            -(uapi::MAX_STACK as i64)
        } else {
            -i64::from(self.state.frame(frame).stack.allocated())
        };
        let errno = if min < lowest || min > -1 {
            uapi::Errno::EACCES
        } else if max > 0 {
            uapi::Errno::EINVAL
        } else if size < 0 {
            uapi::Errno::EFAULT
        } else {
            self.grow_stack(frame, min as i32);
            return Ok(());
        };
        let (access, reg, var_off) = (what, Reg(regno), Bits(ptr.v.var_off));
        let reason = match known {
            Some(_) => BadStack::Outside { access, reg, off, size },
            None => BadStack::OutsideVariable { access, reg, var_off, off, size },
        };
        Err(crate::error::Reject::new(errno, reason))
    }

    fn grow_stack(&mut self, frame: usize, off: i32) {
        if self.state.frame(frame).stack.allocated() >= -off {
            return;
        }
        let func = self.state.frame_mut(frame);
        func.stack.grow_to(off);
        let (depth, subprog) = (func.stack.allocated(), func.subprog as usize);
        let sub = &mut self.subprogs[subprog];
        sub.stack_depth = sub.stack_depth.max(depth);
    }

    /// The slot's value may matter from here on backwards.
    pub(crate) fn mark_stack_read(&mut self, frame: usize, spi: usize) {
        self.store.live.mark_read(&self.state, &self.subprogs, frame, self.insn_idx, 1 << spi);
    }

    /// A stack access below the part that only fastcall patterns use keeps that part in place.
    fn check_fastcall_contract(&mut self, frame: usize, insn_idx: usize, off: i32) {
        let sub = self.state.frame(frame).subprog as usize;
        if i32::from(self.subprogs[sub].fastcall_stack_off) <= off
            || self.aux[insn_idx].fastcall_pattern
        {
            return;
        }
        self.subprogs[sub].fastcall_stack_off = i16::MIN;
        for at in self.subprogs[sub].start..self.subprogs[sub].end {
            self.aux[at].fastcall_spills = 0;
            self.aux[at].fastcall_pattern = false;
        }
    }
}

/// Index in [`StackSlot::bytes`](crate::state::StackSlot) of the byte at `off`.
pub(crate) fn byte_of(off: i32) -> usize {
    ((-off - 1) % 8) as usize
}

fn mark_misc(byte: &mut SlotByte) {
    if !matches!(byte, SlotByte::Zero | SlotByte::Invalid) {
        *byte = SlotByte::Misc;
    }
}

fn scrub_byte(byte: &mut SlotByte) {
    if *byte != SlotByte::Invalid {
        *byte = SlotByte::Misc;
    }
}

/// The slot no longer holds a register: its bytes are just numbers.
fn scrub_slot(frame: &mut FuncState, spi: usize) {
    let slot = frame.stack.slot_mut(spi);
    slot.spilled.kind = RegKind::NotInit;
    if slot.is_special() {
        slot.bytes.iter_mut().for_each(scrub_byte);
    }
}

/// Registers whose state survives a spill.
pub(crate) fn is_spillable(kind: RegKind) -> bool {
    !matches!(kind, RegKind::NotInit | RegKind::Scalar | RegKind::TpBuffer | RegKind::Dynptr)
}
