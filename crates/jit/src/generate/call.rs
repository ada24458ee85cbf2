//! Calls, tail calls and returns.

use super::{Cold, ColdWhat, Done, Gen};
use crate::{
    context,
    env::{ArrayMap, Target},
    host::{CALLEE_SAVED_SET, Host, Mem, W},
    ins::{SCRATCH, args},
    state::{FP, REGS, Val},
    x86::{Arith, Cc, Rm, Shift},
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
        self.state.set(0, Val::Reg(Host::RAX));
    }

    fn load_context(&mut self, to: Host) -> Done {
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
            self.look_at_stop()?;
        }
        Ok(())
    }

    /// Looks up an element: in place if the map is a known array.
    pub(super) fn lookup(&mut self, target: Target) -> Done {
        let Val::Const(map) = self.state.val(1) else { return self.native_call(target) };
        let env = self.unit.env;
        match env.array(map) {
            Some(array) if self.unit.options.blind.is_none() => self.index(array),
            _ => self.native_call(env.lookup(map).unwrap_or(target)),
        }
    }

    fn index(&mut self, array: ArrayMap) -> Done {
        let key = self.address(2, 0)?;
        // Nothing is called: r6 and up stay where they are, r1 to r5 are gone all the same.
        for reg in 1..6 {
            self.state.set(reg, Val::Dead);
        }
        self.release(0);
        let h = self.pick(0)?;
        self.pinned = h.bit();
        self.asm().load(W::W32, h, key);
        let (label, back) = (self.out.new_label(), self.out.new_label());
        self.asm().arith_imm(W::W32, Arith::Cmp, Rm::Reg(h), array.len as i32);
        self.out.jcc(Cc::AE, label);
        self.colds.push(Cold { label, back, what: ColdWhat::NoElement { result: h }, pc: self.pc });
        self.constant(Host::R11, array.values);
        self.scaled(h, array.stride)?;
        if array.cpu_stride != 0 {
            // This CPU's copy.
            let cpu = self.pick(FP)?;
            self.load_context(cpu)?;
            self.asm().load(W::W32, cpu, Mem::at(cpu, context::CPU));
            self.asm().imul_imm(W::W64, cpu, cpu, array.cpu_stride as i32);
            self.asm().arith(W::W64, Arith::Add, h, Rm::Reg(cpu));
        }
        self.out.bind(back);
        self.result(0, h, false);
        Ok(())
    }

    /// `h` = r11 + `h` * `stride`.
    fn scaled(&mut self, h: Host, stride: u32) -> Done {
        let mem = |scale: u8| Mem { base: Some(Host::R11), index: Some(h), scale, disp: 0 };
        let scale = match stride {
            1 | 2 | 4 | 8 => stride.trailing_zeros() as u8,
            _ if stride.is_power_of_two() => {
                self.asm().shift_imm(W::W64, Shift::Shl, h, stride.trailing_zeros() as u8);
                0
            }
            _ => {
                let Ok(stride) = i32::try_from(stride) else {
                    return Err(self.bug("an array of elements of 2 GiB"));
                };
                self.asm().imul_imm(W::W64, h, h, stride);
                0
            }
        };
        self.asm().lea(W::W64, h, mem(scale));
        Ok(())
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
