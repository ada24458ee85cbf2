//! Calls, tail calls and returns.

use super::{Cold, ColdWhat, Done, Gen};
use crate::{
    context,
    env::Target,
    host::{CALLEE_SAVED_SET, Host, Mem, W},
    ins::{SCRATCH, args},
    state::{FP, REGS, Val},
    x86::{Arith, Cc, Rm},
};

/// Linux's -ENOENT, in r0 where a tail call finds no program.
const NOT_FOUND: i32 = -2;

impl Gen<'_> {
    /// Arguments into their places, all that outlives the call into preserved registers.
    fn before_call(&mut self, arguments: u16) -> Done {
        let mut keep = self.live & !SCRATCH;
        for reg in 6..REGS as u8 {
            if reg != FP && keep & 1 << reg != 0 && Self::survives_call(self.state.val(reg)) {
                keep &= !(1 << reg);
            }
        }
        self.settle(keep | arguments)?;
        // Moving those may have moved what would have survived where it was.
        let all = self.live & !SCRATCH;
        let lost = |reg: u8| all & 1 << reg != 0 && !Self::survives_call(self.state.val(reg));
        if (6..REGS as u8).any(|reg| reg != FP && lost(reg)) {
            self.settle(all | arguments)?;
        }
        Ok(())
    }

    /// r0 is in RAX; what the call destroyed is forgotten.
    fn after_call(&mut self) {
        for reg in 0..6 {
            self.state.set(reg, Val::Dead);
        }
        self.state.forget_extension(!CALLEE_SAVED_SET);
        self.stored = None;
        self.state.set(0, Val::Reg(Host::RAX));
    }

    pub(super) fn load_context(&mut self, to: Host) -> Done {
        let Some(mem) = self.frame.context() else {
            return Err(self.bug("the run's context was not kept"));
        };
        self.asm().load(W::W64, to, mem);
        Ok(())
    }

    /// A subprogram.
    pub(super) fn call(&mut self, rel: i32) -> Done {
        let f = self.func_of(rel)?;
        self.before_call(self.unit.code.effects[self.pc as usize].reads)?;
        if self.unit.needs_context[f] {
            self.load_context(context::REGISTER)?;
        }
        let label = self.func_label(f);
        self.out.call(label);
        self.after_call();
        Ok(())
    }

    /// A subprogram that is this block, here.
    pub(super) fn inlined(&mut self, b: u32) -> Done {
        let (pc, live) = (self.pc, self.live);
        let block = self.unit.flow.blocks[b as usize];
        let mut live_after = Vec::new();
        self.unit.flow.live_after(self.unit.code, &block, &mut live_after);
        // All but the exit.
        for (at, after) in (block.start..block.end - 1).zip(live_after) {
            (self.pc, self.live) = (at, after | live & !SCRATCH);
            self.slot(b)?;
        }
        (self.pc, self.live) = (pc, live);
        Ok(())
    }

    /// Machine code outside the program.
    pub(super) fn native_call(&mut self, target: Target) -> Done {
        self.before_call(args(target.args))?;
        self.load_context(context::REGISTER)?;
        if let Some(tag) = target.tag {
            let mem = Mem::at(context::REGISTER, context::TAG);
            self.asm().store_imm(2, mem, tag as i32);
        }
        self.out.call_native(target.addr as u64);
        self.after_call();
        if target.may_stop {
            let (label, what) = (self.out.new_label(), ColdWhat::Stopped);
            self.look_at_stop(label)?;
            self.colds.push(Cold { label, back: label, what, pc: self.pc });
        }
        Ok(())
    }

    /// Ends the run for the helper called last, unless a helper below has ended it. r11 is the
    /// run's context.
    pub(super) fn leave_from(&mut self) {
        let place = Mem::at(Host::R11, context::STOP_IP);
        let (stop, here) = (self.out.stop_label(), self.out.new_label());
        self.asm().arith_imm(W::W64, Arith::Cmp, Rm::Mem(place), 0);
        self.out.jcc(Cc::NE, stop);
        self.out.bind(here);
        self.out.lea_label(Host::RAX, here);
        self.asm().store(3, place, Host::RAX);
        self.out.jmp(stop);
    }

    /// Asks for the program's address and goes there, or goes on.
    pub(super) fn tail_call(&mut self) -> Done {
        self.before_call(args(3))?;
        let end = self.out.new_label();
        self.load_context(Host::R9)?;
        let asm = &mut self.out.asm;
        let field = |at: i32| Mem::at(Host::R9, at);
        asm.mov_imm(Host::RAX, NOT_FOUND as i64 as u64, true);
        let count = Rm::Mem(field(context::TAIL_CALLS));
        asm.arith_imm(W::W32, Arith::Cmp, count, context::MAX_TAIL_CALLS);
        self.out.jcc(Cc::AE, end);
        let asm = &mut self.out.asm;
        asm.arith_imm(W::W64, Arith::Cmp, Rm::Mem(field(context::RESOLVE_TAIL)), 0);
        self.out.jcc(Cc::E, end);
        let asm = &mut self.out.asm;
        asm.store(3, field(context::TAIL_CONTEXT), Host::RDI);
        asm.call_mem(field(context::RESOLVE_TAIL));
        asm.mov(W::W64, Host::R11, Host::RAX);
        asm.mov_imm(Host::RAX, NOT_FOUND as i64 as u64, true);
        asm.test(W::W64, Host::R11, Host::R11);
        self.out.jcc(Cc::E, end);
        self.load_context(Host::R9)?;
        let asm = &mut self.out.asm;
        asm.arith_imm(W::W32, Arith::Add, count, 1);
        asm.load(W::W64, Host::RDI, field(context::TAIL_CONTEXT));
        self.epilogue();
        self.asm().jmp_reg(Host::R11);
        self.out.bind(end);
        self.after_call();
        Ok(())
    }

    pub(super) fn exit(&mut self) -> Done {
        self.settle(1)?;
        self.epilogue();
        self.asm().ret();
        Ok(())
    }
}
