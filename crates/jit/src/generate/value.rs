//! Values into registers: choosing, materialising, moving home.

use super::{Done, Fail, Gen};
use crate::{
    host::{CALLEE_SAVED_SET, Host, Mem, W},
    ins::Set,
    state::{FP, REGS, State, UnOp, Val},
    x86::{Arith, Rm, Shift},
};

impl Gen<'_> {
    /// A host register for `reg` that nothing depends on: its home if that is free.
    pub(super) fn pick(&mut self, reg: u8) -> Done<Host> {
        let free = self.frame.hosts & !self.state.used() & !self.pinned;
        if let Some(home) = self.frame.home(reg).filter(|h| free & h.bit() != 0) {
            return Ok(home);
        }
        // Rather one that is nobody's home.
        let set = match free & self.frame.spare {
            0 => free,
            spare => spare,
        };
        if set == 0 { Err(Fail::Hosts) } else { Ok(Host(set.trailing_zeros() as u8)) }
    }

    fn free_count(&self) -> u32 {
        (self.frame.hosts & !self.state.used() & !self.pinned).count_ones()
    }

    /// Writes `val` to `to`, which nothing but perhaps `val` itself depends on.
    pub(super) fn emit(&mut self, to: Host, val: Val) {
        let flags = self.flags.filter(|(at, of, _)| *at == self.out.asm.len() && *of != to);
        let low = self.state.is_low(val);
        match val {
            Val::Dead => {}
            Val::Reg(h) if h == to => {}
            Val::Reg(h) => {
                let w = if low { W::W32 } else { W::W64 };
                self.asm().mov(w, to, h);
                self.still_flags(flags);
            }
            Val::Const(value) => self.constant(to, value),
            Val::Lea(w, mem) => self.sum(w, to, mem),
            Val::Un(UnOp::Low, _, h, _) => {
                self.asm().mov(W::W32, to, h);
                self.still_flags(flags);
            }
            Val::Un(op, w, h, imm) => self.unary(op, w, to, h, imm),
        }
        self.state.wrote(to, low);
    }

    /// A move leaves the flags as they were.
    fn still_flags(&mut self, flags: Option<(usize, Host, W)>) {
        if let Some((_, h, w)) = flags {
            self.set_flags(h, w);
        }
    }

    /// `to = value`, hidden if the program's constants are to be.
    pub(super) fn constant(&mut self, to: Host, value: u64) {
        if self.unit.options.blind.is_none() || self.fits(value as i64) {
            return self.asm().mov_imm(to, value, false);
        }
        let keys = self.next_key();
        let (k1, k2) = (keys as u32 as i32, (keys >> 32) as u32 as i32);
        let (low, high) = (value as u32 as i32, (value >> 32) as u32 as i32);
        let asm = &mut self.out.asm;
        if high == 0 {
            asm.mov_imm(to, (low ^ k1) as u32 as u64, true);
            return asm.arith_imm(W::W32, Arith::Xor, Rm::Reg(to), k1);
        }
        // Immediates are sign-extended: what that does to the upper half is undone beforehand.
        let high = high ^ (low >> 31);
        asm.mov_imm(to, (high ^ k1) as u32 as u64, true);
        asm.arith_imm(W::W32, Arith::Xor, Rm::Reg(to), k1);
        asm.shift_imm(W::W64, Shift::Shl, to, 32);
        asm.arith_imm(W::W64, Arith::Xor, Rm::Reg(to), low ^ k2);
        asm.arith_imm(W::W64, Arith::Xor, Rm::Reg(to), k2);
    }

    fn next_key(&mut self) -> u64 {
        // xorshift64*, from the caller's random seed.
        let mut x = self.key | 1;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.key = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Whether a constant of the program may stand in the code as it is.
    pub(super) fn fits(&self, imm: i64) -> bool {
        match self.unit.options.blind {
            None => i32::try_from(imm).is_ok(),
            Some(_) => i8::try_from(imm).is_ok(),
        }
    }

    fn sum(&mut self, w: W, to: Host, mem: Mem) {
        let asm = &mut self.out.asm;
        match (mem.base, mem.index, mem.disp) {
            (Some(base), None, 0) => asm.mov(w, to, base),
            (Some(base), None, 128) if base == to => {
                asm.arith_imm(w, Arith::Sub, Rm::Reg(to), -128);
                self.set_flags(to, w);
            }
            (Some(base), None, disp) if base == to => {
                asm.arith_imm(w, Arith::Add, Rm::Reg(to), disp);
                self.set_flags(to, w);
            }
            (Some(base), Some(index), 0) if base == to && mem.scale == 0 => {
                asm.arith(w, Arith::Add, to, Rm::Reg(index));
                self.set_flags(to, w);
            }
            (Some(base), Some(index), 0) if index == to && mem.scale == 0 => {
                asm.arith(w, Arith::Add, to, Rm::Reg(base));
                self.set_flags(to, w);
            }
            (None, Some(index), 0) if index == to => asm.shift_imm(w, Shift::Shl, to, mem.scale),
            (None, Some(index), disp) if mem.scale == 1 => {
                asm.lea(w, to, Mem { base: Some(index), index: Some(index), scale: 0, disp });
            }
            _ => asm.lea(w, to, mem),
        }
    }

    fn unary(&mut self, op: UnOp, w: W, to: Host, h: Host, imm: i32) {
        let bmi = self.unit.options.bmi;
        let asm = &mut self.out.asm;
        let shift = match op {
            UnOp::Low => return asm.mov(W::W32, to, h),
            UnOp::Mul => return asm.imul_imm(w, to, h, imm),
            UnOp::And if imm == 0xff => return asm.extend(W::W32, 8, false, to, Rm::Reg(h)),
            UnOp::And if imm == 0xffff => return asm.extend(W::W32, 16, false, to, Rm::Reg(h)),
            UnOp::And => {
                let w = if imm >= 0 { W::W32 } else { w };
                if to != h {
                    asm.mov(w, to, h);
                }
                asm.arith_imm(w, Arith::And, Rm::Reg(to), imm);
                return self.set_flags(to, w);
            }
            UnOp::Rol if bmi && to != h => {
                return asm.rorx(w, to, h, (w.bits() as i32 - imm) as u8);
            }
            UnOp::Shl if imm == 1 && to != h => {
                let mem = Mem { base: Some(h), index: Some(h), scale: 0, disp: 0 };
                return asm.lea(w, to, mem);
            }
            UnOp::Shl => Shift::Shl,
            UnOp::Shr => Shift::Shr,
            UnOp::Sar => Shift::Sar,
            UnOp::Rol => Shift::Rol,
        };
        if to != h {
            asm.mov(w, to, h);
        }
        asm.shift_imm(w, shift, to, imm as u8);
    }

    /// `reg`'s value in a host register, which others may share.
    pub(super) fn host(&mut self, reg: u8) -> Done<Host> {
        let val = self.state.val(reg);
        if let Val::Reg(h) = val {
            return Ok(h);
        }
        let to = self.place(reg, val)?;
        self.emit(to, val);
        if reg == FP {
            // The frame pointer stays a sum; this copy lasts for one instruction.
            self.pinned |= to.bit();
        } else {
            self.state.set(reg, Val::Reg(to));
        }
        Ok(to)
    }

    /// Where to materialise `val`: in place if that saves a move, else at home.
    fn place(&mut self, reg: u8, val: Val) -> Done<Host> {
        let own = val.hosts() & self.frame.hosts & !self.pinned;
        let alone = |state: &State, h: Host| state.refs(h) == 1;
        let in_place = val_hosts(own).find(|h| alone(&self.state, *h));
        let two_operands =
            matches!(val, Val::Un(UnOp::Shl | UnOp::Shr | UnOp::Sar | UnOp::And, ..));
        let home = self.frame.home(reg);
        match in_place {
            Some(h) if two_operands || Some(h) == home => Ok(h),
            Some(h) => match home.filter(|home| self.is_free(*home)) {
                Some(home) => Ok(home),
                None => Ok(h),
            },
            None => self.pick(reg),
        }
    }

    fn is_free(&self, h: Host) -> bool {
        self.frame.hosts & !self.state.used() & !self.pinned & h.bit() != 0
    }

    /// `reg`'s value to read once: constants and the frame pointer pass through r11.
    pub(super) fn read(&mut self, reg: u8) -> Done<Host> {
        match self.state.val(reg) {
            Val::Reg(h) => Ok(h),
            val @ Val::Const(_) if !self.is_live(reg) => {
                self.emit(Host::R11, val);
                Ok(Host::R11)
            }
            val if reg == FP => {
                self.emit(Host::R11, val);
                Ok(Host::R11)
            }
            _ => self.host(reg),
        }
    }

    /// `reg`'s value in a host register of its own, to be changed in place.
    pub(super) fn own(&mut self, reg: u8) -> Done<Host> {
        if self.state.val(reg) == Val::Dead {
            // Never written: any content will do.
            let h = self.pick(reg)?;
            self.state.set(reg, Val::Reg(h));
            return Ok(h);
        }
        let h = self.host(reg)?;
        if self.state.refs(h) == 1 && self.frame.hosts & h.bit() != 0 {
            return Ok(h);
        }
        if self.frame.home(reg) == Some(h) {
            self.send_others_away(reg, h)?;
            if self.state.refs(h) == 1 {
                return Ok(h);
            }
        }
        let to = self.pick(reg)?;
        self.emit(to, Val::Reg(h));
        self.state.set(reg, Val::Reg(to));
        Ok(to)
    }

    /// Materialises what depends on `h` besides `reg`, as far as there is room.
    fn send_others_away(&mut self, reg: u8, h: Host) -> Done {
        for other in 0..REGS as u8 {
            let val = self.state.val(other);
            if other == reg || val.hosts() & h.bit() == 0 {
                continue;
            }
            let to = match val {
                Val::Reg(_) if self.free_count() < 3 => return Ok(()),
                Val::Reg(_) => self.pick(other)?,
                _ => match self.place(other, val) {
                    Err(Fail::Hosts) => return Ok(()),
                    done => done?,
                },
            };
            self.emit(to, val);
            self.state.set(other, Val::Reg(to));
        }
        Ok(())
    }

    /// Operands are captured: what is not read again is forgotten, `dst` too.
    pub(super) fn release(&mut self, dst: u8) {
        self.state.set(dst, Val::Dead);
        self.state.keep(self.live);
        self.pinned = 0;
    }

    /// Makes `h` free, moving its content elsewhere if somebody depends on it.
    pub(super) fn vacate(&mut self, h: Host) -> Done {
        if self.state.refs(h) == 0 {
            return Ok(());
        }
        let free = self.frame.hosts & !self.state.used() & !self.pinned & !h.bit();
        let set = match free & self.frame.spare {
            0 => free,
            spare => spare,
        };
        if set == 0 {
            return Err(Fail::Hosts);
        }
        let to = Host(set.trailing_zeros() as u8);
        self.asm().mov(W::W64, to, h);
        self.state.rename(h, to);
        Ok(())
    }

    /// `reg`'s value in `h` and nobody else's there.
    pub(super) fn force(&mut self, reg: u8, h: Host) -> Done {
        let val = self.state.val(reg);
        if val == Val::Reg(h) && self.state.refs(h) == 1 {
            return Ok(());
        }
        let own = u8::from(val.hosts() & h.bit() != 0);
        if self.state.refs(h) > own {
            self.vacate(h)?;
        }
        let val = self.state.val(reg);
        self.emit(h, val);
        self.state.set(reg, Val::Reg(h));
        Ok(())
    }

    /// Moves all of `set` home.
    pub(super) fn settle(&mut self, set: Set) -> Done {
        let mut todo = self.away(set);
        while todo != 0 {
            let before = todo;
            let mut rest = todo;
            while rest != 0 {
                let reg = rest.trailing_zeros() as u8;
                rest &= rest - 1;
                if self.go_home(reg) {
                    todo &= !(1 << reg);
                }
            }
            if todo == before {
                self.break_cycle(todo)?;
            }
        }
        Ok(())
    }

    /// Those of `set` that are not at home.
    fn away(&self, set: Set) -> Set {
        let mut todo = 0;
        let mut rest = set & !(1 << FP);
        while rest != 0 {
            let reg = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            let val = self.state.val(reg);
            let home = self.frame.home(reg);
            if val != Val::Dead && home.is_some_and(|h| val != Val::Reg(h)) {
                todo |= 1 << reg;
            }
        }
        todo
    }

    /// Moves `reg` home if nobody else depends on what is there.
    fn go_home(&mut self, reg: u8) -> bool {
        let val = self.state.val(reg);
        let Some(home) = self.frame.home(reg) else { return true };
        let own = u8::from(val.hosts() & home.bit() != 0);
        if self.state.refs(home) > own {
            return false;
        }
        self.emit(home, val);
        self.state.set(reg, Val::Reg(home));
        true
    }

    fn break_cycle(&mut self, todo: Set) -> Done {
        let reg = todo.trailing_zeros() as u8;
        let Some(home) = self.frame.home(reg) else { return Ok(()) };
        match self.vacate(home) {
            Err(Fail::Hosts) => self.through_memory(),
            done => done,
        }
    }

    /// Every value home by way of the red zone below the stack pointer: always possible.
    fn through_memory(&mut self) -> Done {
        let slot = |reg: u8| Mem::at(Host::RSP, -8 * (i32::from(reg) + 1));
        let alive = |state: &State, reg: u8| reg != FP && state.val(reg) != Val::Dead;
        for reg in (0..REGS as u8).filter(|r| alive(&self.state, *r)).collect::<Vec<_>>() {
            let val = self.state.val(reg);
            let from = match val {
                Val::Reg(h) => h,
                val => {
                    self.emit(Host::R11, val);
                    Host::R11
                }
            };
            self.asm().store(3, slot(reg), from);
        }
        let mut homes = Vec::new();
        for reg in (0..REGS as u8).filter(|r| alive(&self.state, *r)) {
            let home = self.frame.home(reg).ok_or_else(|| self.bug("a register without a home"))?;
            let low = self.state.is_low(self.state.val(reg));
            homes.push((reg, home, low));
        }
        for &(reg, home, low) in &homes {
            self.asm().load(W::W64, home, slot(reg));
            self.state.wrote(home, low);
            self.state.set(reg, Val::Reg(home));
        }
        Ok(())
    }

    /// The state in which a block with several predecessors starts.
    pub(super) fn home_state(&self, live: Set) -> State {
        let mut state = State::new(self.frame.stack);
        for reg in 0..REGS as u8 {
            if live & 1 << reg == 0 || reg == FP {
                continue;
            }
            if let Some(home) = self.frame.home(reg) {
                state.set(reg, Val::Reg(home));
            }
        }
        state
    }

    /// What a call leaves alone: constants and what is in preserved registers.
    pub(super) fn survives_call(val: Val) -> bool {
        val.hosts() & !(CALLEE_SAVED_SET | Host::RSP.bit()) == 0
    }

    /// Sets the state for block `b`.
    pub(super) fn start_block(&mut self, b: u32, falls_in: bool) {
        let block = self.unit.flow.blocks[b as usize];
        self.flags = None;
        self.stored = None;
        self.out.bind_block(b, block.is_loop);
        if self.entry_states.take(b, &mut self.state) {
            // As the jump left it.
        } else if !(falls_in && block.preds == 1) {
            self.state = self.home_state(block.live_in);
        }
        self.state.keep(block.live_in);
    }
}

fn val_hosts(mut set: u16) -> impl Iterator<Item = Host> {
    std::iter::from_fn(move || {
        let h = (set != 0).then(|| Host(set.trailing_zeros() as u8))?;
        set &= set - 1;
        Some(h)
    })
}
