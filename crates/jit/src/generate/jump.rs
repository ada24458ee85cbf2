//! Jumps and comparisons.

use isa::{Cond, Src};

use super::{Done, Fail, Gen};
use crate::{
    context,
    flow::NONE,
    host::{Host, Mem, W},
    state::{UnOp, Val},
    x86::{Arith, Cc, Rm},
};

fn cc(cond: Cond) -> Cc {
    match cond {
        Cond::Eq => Cc::E,
        Cond::Ne | Cond::Set => Cc::NE,
        Cond::Gt => Cc::A,
        Cond::Ge => Cc::AE,
        Cond::Lt => Cc::B,
        Cond::Le => Cc::BE,
        Cond::Sgt => Cc::G,
        Cond::Sge => Cc::GE,
        Cond::Slt => Cc::L,
        Cond::Sle => Cc::LE,
    }
}

/// The condition with its operands exchanged.
fn mirrored(cond: Cond) -> Cond {
    match cond {
        Cond::Eq | Cond::Ne | Cond::Set => cond,
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
    }
}

impl Gen<'_> {
    /// Whether block `to` takes over the state of the jump in block `from`, its only one.
    pub(super) fn inherits(&self, from: u32, to: u32) -> bool {
        to > from && self.unit.flow.blocks[to as usize].preds == 1 && !self.plain
    }

    /// Prepares the edge from `from` to `to`, another block than the next.
    pub(super) fn edge(&mut self, from: u32, to: u32) -> Done {
        let live = self.unit.flow.blocks[to as usize].live_in;
        if self.inherits(from, to) {
            self.entry_states.put(to, &self.state);
            return Ok(());
        }
        self.settle(live)?;
        if self.unit.options.interruptible && to <= from {
            let label = self.out.stop_label();
            self.look_at_stop(label)?;
        }
        Ok(())
    }

    /// Goes to `label`, with the run's context in r11, if the run was told to stop.
    pub(super) fn look_at_stop(&mut self, label: u32) -> Done {
        let Some(mem) = self.frame.context() else {
            return Err(self.bug("the run's context was not kept"));
        };
        let asm = &mut self.out.asm;
        asm.load(W::W64, Host::R11, mem);
        asm.arith_imm(W::W32, Arith::Cmp, Rm::Mem(Mem::at(Host::R11, context::STOP)), 0);
        self.out.jcc(Cc::NE, label);
        Ok(())
    }

    /// At the end of a block without jump: whether block `next` may take over the state.
    pub(super) fn fall_into(&mut self, next: u32) -> Done<bool> {
        if next == NONE {
            return Err(self.bug("a block without successor"));
        }
        let block = self.unit.flow.blocks[next as usize];
        if block.preds == 1 {
            return Ok(true);
        }
        self.settle(block.live_in)?;
        Ok(true)
    }

    pub(super) fn ja(&mut self, b: u32) -> Done<bool> {
        let to = self.unit.flow.blocks[b as usize].jump;
        self.state.keep(self.live);
        if self.unit.flow.blocks[b as usize].copies {
            return self.copy_of(to);
        }
        // Blocks never reached are not emitted.
        let next = (b + 1..to).all(|b| !self.unit.flow.blocks[b as usize].reached);
        if to > b && next {
            return self.fall_into(to);
        }
        self.edge(b, to)?;
        self.out.jmp(to);
        Ok(false)
    }

    /// Block `latch` once more, here, in the state that control comes with.
    fn copy_of(&mut self, latch: u32) -> Done<bool> {
        let block = self.unit.flow.blocks[latch as usize];
        let mut live_after = Vec::new();
        self.unit.flow.live_after(self.unit.code, &block, &mut live_after);
        for (pc, live) in (block.start..block.end).zip(live_after) {
            (self.pc, self.live) = (pc, live);
            self.slot(latch)?;
        }
        let here = self.here;
        if block.next == here + 1 {
            return self.fall_into(block.next);
        }
        self.edge(here, block.next)?;
        self.out.jmp(block.next);
        Ok(false)
    }

    /// The counter of the frame: at zero the jump is taken, else it goes down.
    pub(super) fn may_goto(&mut self, b: u32) -> Done {
        let to = self.unit.flow.blocks[b as usize].jump;
        self.edge(b, to)?;
        let Some(mem) = self.frame.loops() else {
            return Err(self.bug("no counter for may_goto"));
        };
        self.asm().arith_imm(W::W64, Arith::Cmp, Rm::Mem(mem), 0);
        self.out.jcc(Cc::E, to);
        self.asm().arith_imm(W::W64, Arith::Sub, Rm::Mem(mem), 1);
        Ok(())
    }

    pub(super) fn branch(&mut self, b: u32, w: W, cond: Cond, dst: u8, src: Src) -> Done<bool> {
        let to = self.unit.flow.blocks[b as usize].jump;
        // What this instruction alone still reads is kept until it is compared.
        let here = self.here;
        let inherits = self.inherits(here, to);
        if !inherits {
            // The compared register last: what computes it may set the flags.
            let live = self.unit.flow.blocks[to as usize].live_in;
            self.settle(live & !(1 << dst))?;
            self.edge(here, to)?;
        }
        if let Some(asked) = self.asked.take() {
            if self.out.asm.len() == asked.at {
                return self.answer(asked, b, inherits);
            }
            if !self.comes_back(&asked) {
                return Err(Fail::Hosts);
            }
        }
        let cc = self.compare(w, cond, dst, src)?;
        if inherits {
            self.edge(here, to)?;
        }
        self.out.jcc(cc, to);
        Ok(true)
    }

    /// Sets the flags; the condition under which `cond` holds.
    pub(super) fn compare(&mut self, w: W, cond: Cond, dst: u8, src: Src) -> Done<Cc> {
        let known = |this: &Self, src: Src| match src {
            Src::Imm(imm) => Some(imm as i64 as u64),
            Src::Reg(reg) => match this.state.val(reg.0) {
                Val::Const(k) => Some(k),
                _ => None,
            },
        };
        let (k, reg) = match src {
            Src::Reg(reg) => (known(self, src), Some(reg.0)),
            Src::Imm(_) => (known(self, src), None),
        };
        let signed = |k: u64| match w {
            W::W32 => i64::from(k as u32 as i32),
            W::W64 => k as i64,
        };
        if let Some(imm) = k.map(signed).filter(|k| self.fits(*k)) {
            return self.compare_constant(w, cond, dst, imm as i32);
        }
        if let (Val::Const(a), Some(reg)) = (self.state.val(dst), reg)
            && k.is_none()
            && self.fits(signed(a))
        {
            return self.compare_constant(w, mirrored(cond), reg, signed(a) as i32);
        }
        let b = match reg {
            Some(reg) => self.compared(w, reg)?,
            None => {
                self.constant(Host::R11, w.cut(k.unwrap_or(0)));
                Host::R11
            }
        };
        self.pinned |= b.bit();
        let a = match (self.state.val(dst), b) {
            (Val::Const(_), _) | (_, Host::R11) => self.host(dst)?,
            _ => self.compared(w, dst)?,
        };
        match cond {
            Cond::Set => self.asm().test(w, a, b),
            _ => self.asm().arith(w, Arith::Cmp, a, Rm::Reg(b)),
        }
        self.pinned = 0;
        Ok(cc(cond))
    }

    /// A register whose low `w` bits are those of `reg`.
    fn compared(&mut self, w: W, reg: u8) -> Done<Host> {
        match self.state.val(reg) {
            Val::Un(UnOp::Low, _, h, _) if w == W::W32 => Ok(h),
            _ => self.read(reg),
        }
    }

    fn compare_constant(&mut self, w: W, cond: Cond, reg: u8, imm: i32) -> Done<Cc> {
        let zero_test = matches!(cond, Cond::Eq | Cond::Ne) && imm == 0;
        if let Val::Un(UnOp::And, aw, h, mask) = self.state.val(reg)
            && zero_test
            && (aw == W::W32 || w == W::W64)
        {
            self.asm().test_imm(aw, h, mask);
            return Ok(cc(cond));
        }
        let a = match self.state.val(reg) {
            Val::Const(_) => self.host(reg)?,
            _ => self.compared(w, reg)?,
        };
        match (cond, imm) {
            (Cond::Set, imm) => self.asm().test_imm(w, a, imm),
            (Cond::Eq | Cond::Ne, 0) if self.flags_tell(a, w) => {}
            (_, 0) => self.asm().test(w, a, a),
            _ => self.asm().arith_imm(w, Arith::Cmp, Rm::Reg(a), imm),
        }
        Ok(cc(cond))
    }
}
