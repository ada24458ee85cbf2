//! A function's frame, and the home of each of its registers.
//!
//! From the stack pointer up: the bytecode's stack, then the slots of the generated code, then
//! saved registers. What the function does not need it does not have.

use isa::{Op, Reg, Src};

use super::{Done, Fail, Gen, Unit};
use crate::{
    JitError, context,
    host::{CALLEE_SAVED, CALLEE_SAVED_SET, Host, Mem, W},
    ins::{Ins, SCRATCH, Set},
    slots::FIRST,
    state::{FP, REGS, State, Val},
    x86::{Arith, Rm},
};

/// Iterations that `may_goto` allows a frame (Linux's BPF_MAX_LOOPS).
const MAX_LOOPS: i32 = 8 << 20;

/// Linux's stack of a function, taken in full where the frame pointer is used as a value.
const STACK: i32 = 512;

/// Hosts of r0 to r5: the calling convention's.
const CONVENTION: [Host; 6] = [Host::RAX, Host::RDI, Host::RSI, Host::RDX, Host::RCX, Host::R8];

/// Layout of a function's frame.
pub(crate) struct Frame {
    homes: [Option<Host>; REGS],
    /// All that values may live in.
    pub(super) hosts: u16,
    /// Those that are nobody's home.
    pub(super) spare: u16,
    /// Preserved registers that the function saves.
    saved: u16,
    /// Bytes of the bytecode's stack, below the frame pointer.
    pub(super) stack: i32,
    /// Bytes below the saved registers.
    size: i32,
    context: Option<i32>,
    loops: Option<i32>,
}

/// What the function has in it.
#[derive(Default)]
struct Census {
    regs: Set,
    calls: bool,
    may_goto: bool,
    divides: bool,
    loops: bool,
    stack: i32,
    slots: u32,
}

impl Census {
    fn of(unit: &Unit<'_>, f: usize) -> Result<Census, JitError> {
        let func = unit.flow.funcs[f];
        let mut census =
            Census { may_goto: func.may_goto, divides: func.divides, ..Census::default() };
        census.slots = func.end - func.start;
        for pc in func.start as usize..func.end as usize {
            let effect = unit.code.effects[pc];
            let scratches = effect.writes == SCRATCH;
            if let (true, Ins::Inlined { regs, .. }) = (scratches, &unit.code.slots[pc]) {
                census.regs |= effect.reads | regs | 1;
                continue;
            }
            census.calls |= scratches;
            census.regs |= effect.reads | if scratches { 1 } else { effect.writes };
            if effect.reads & 1 << FP != 0
                && let Ins::Op { op, .. } | Ins::Arena(op) = &unit.code.slots[pc]
            {
                census.op(op, pc)?;
            }
        }
        let blocks = func.first_block as usize..func.last_block as usize;
        census.loops = unit.flow.blocks[blocks.clone()].iter().any(|b| b.is_loop);
        census.regs |= unit.flow.blocks[blocks.start].live_in;
        Ok(census)
    }

    fn op(&mut self, op: &Op, pc: usize) -> Result<(), JitError> {
        const FP: Reg = Reg::R10;
        let reach = |off: i16| -i32::from(off);
        let need = match *op {
            Op::Load { base: FP, off, .. }
            | Op::LoadAcquire { base: FP, off, .. }
            | Op::Atomic { base: FP, off, .. }
            | Op::StoreRelease { base: FP, off, .. }
            | Op::Store { base: FP, off, .. } => reach(off),
            Op::Alu { src: Src::Reg(FP), .. } | Op::Jmp { src: Src::Reg(FP), .. } => STACK,
            Op::Jmp { dst: FP, .. } | Op::MovSx { src: FP, .. } => STACK,
            _ => 0,
        };
        let source = match *op {
            Op::Store { src: Src::Reg(FP), .. } => STACK,
            Op::Atomic { src: FP, .. } | Op::StoreRelease { src: FP, .. } => STACK,
            Op::AddrSpaceCast { src: FP, .. } => STACK,
            _ => 0,
        };
        self.stack = self.stack.max(need).max(source);
        if self.stack > 1 << 20 { Err(JitError::Stack(pc)) } else { Ok(()) }
    }
}

impl Frame {
    pub(super) fn new(unit: Unit<'_>, f: usize, slots: usize, plain: bool) -> Done<Frame> {
        let census = Census::of(&unit, f).map_err(Fail::Error)?;
        let mut regs = census.regs & 0x3ff;
        for slot in 0..slots as u8 {
            regs |= 1 << (FIRST + slot);
        }
        let mut frame = Frame {
            homes: [None; REGS],
            hosts: Host::R9.bit() | Host::R10.bit(),
            spare: 0,
            saved: 0,
            stack: (census.stack + 7) & !7,
            size: 0,
            context: None,
            loops: None,
        };
        frame.assign(regs, &census, plain)?;
        if unit.options.scarce && !plain {
            frame.hosts &= !frame.spare;
            frame.spare = 0;
        }
        if f == 0 {
            // Whoever enters the main program saves for it.
            frame.saved = 0;
        }
        let keeps_context =
            census.calls && unit.needs_context[f] || unit.options.interruptible && census.loops;
        frame.lay_out(&census, keeps_context);
        Ok(frame)
    }

    fn assign(&mut self, regs: Set, census: &Census, plain: bool) -> Done {
        let mut free = 0u16;
        for reg in 0..6u8 {
            let h = CONVENTION[reg as usize];
            self.hosts |= h.bit();
            // Division would drive what lives in RDX out again and again.
            let moves = reg == 3 && census.divides && !census.calls;
            if reg == 0 || regs & 1 << reg != 0 && !moves {
                self.homes[reg as usize] = Some(h);
            } else {
                free |= h.bit();
            }
        }
        if census.divides {
            free &= !Host::RDX.bit();
        }
        if census.calls {
            free = 0;
        } else {
            free |= Host::R9.bit() | Host::R10.bit();
        }
        let pool = CONVENTION.into_iter().chain([Host::R9, Host::R10]);
        let mut pool = pool.filter(|h| free & h.bit() != 0).chain(CALLEE_SAVED);
        let homeless = |homes: &[Option<Host>; REGS], r: u8| {
            r != FP && regs & 1 << r != 0 && homes[r as usize].is_none()
        };
        for reg in 1..REGS as u8 {
            if !homeless(&self.homes, reg) {
                continue;
            }
            let home = pool.next().ok_or(Fail::Hosts)?;
            self.homes[reg as usize] = Some(home);
            self.hosts |= home.bit();
        }
        self.find_spare();
        // Short functions get by with what is left.
        let want = match (plain, census.slots) {
            (true, _) => 14,
            (false, 0..16) => 1,
            (false, 16..40) => 2,
            (false, _) => 3,
        };
        for h in CALLEE_SAVED {
            if self.spare.count_ones() < want && self.hosts & h.bit() == 0 {
                self.hosts |= h.bit();
                self.find_spare();
            }
        }
        self.saved = self.hosts & CALLEE_SAVED_SET;
        Ok(())
    }

    fn find_spare(&mut self) {
        let homes = self.homes.iter().flatten().fold(0, |set, h| set | h.bit());
        self.spare = self.hosts & !homes;
    }

    fn lay_out(&mut self, census: &Census, keeps_context: bool) {
        let mut size = self.stack;
        let mut slot = |wanted: bool| {
            wanted.then(|| {
                size += 8;
                size - 8
            })
        };
        self.context = slot(keeps_context);
        self.loops = slot(census.may_goto);
        let pushed = 8 * (self.saved.count_ones() as i32 + 1);
        if census.calls && (size + pushed) % 16 != 0 {
            size += 8;
        }
        self.size = size;
    }

    /// The preserved registers that the function uses.
    pub(super) fn saved_set(&self) -> u16 {
        self.hosts & CALLEE_SAVED_SET
    }

    /// Where `reg` is between blocks.
    #[inline]
    pub(super) fn home(&self, reg: u8) -> Option<Host> {
        self.homes[reg as usize & 15]
    }

    /// The slot that holds the run's context.
    pub(super) fn context(&self) -> Option<Mem> {
        self.context.map(|at| Mem::at(Host::RSP, at))
    }

    /// The slot that counts what `may_goto` has left.
    pub(super) fn loops(&self) -> Option<Mem> {
        self.loops.map(|at| Mem::at(Host::RSP, at))
    }
}

impl Gen<'_> {
    pub(super) fn prologue(&mut self) {
        let asm = &mut self.out.asm;
        let saved = self.frame.saved;
        for h in CALLEE_SAVED.into_iter().filter(|h| saved & h.bit() != 0) {
            asm.push(h);
        }
        match self.frame.size {
            0 => {}
            128 => asm.arith_imm(W::W64, Arith::Add, Rm::Reg(Host::RSP), -128),
            size => asm.arith_imm(W::W64, Arith::Sub, Rm::Reg(Host::RSP), size),
        }
        if let Some(mem) = self.frame.context() {
            asm.store(3, mem, context::REGISTER);
        }
        if let Some(mem) = self.frame.loops() {
            asm.store_imm(3, mem, MAX_LOOPS);
        }
    }

    pub(super) fn epilogue(&mut self) {
        let asm = &mut self.out.asm;
        match self.frame.size {
            0 => {}
            128 => asm.arith_imm(W::W64, Arith::Sub, Rm::Reg(Host::RSP), -128),
            size => asm.arith_imm(W::W64, Arith::Add, Rm::Reg(Host::RSP), size),
        }
        let saved = self.frame.saved;
        for h in CALLEE_SAVED.into_iter().rev().filter(|h| saved & h.bit() != 0) {
            asm.pop(h);
        }
    }

    /// Arguments are where the convention has them.
    pub(super) fn entry_state(&self, live: Set) -> State {
        let mut state = State::new(self.frame.stack);
        for reg in 1..6u8 {
            if live & 1 << reg != 0 {
                state.set(reg, Val::Reg(CONVENTION[reg as usize]));
            }
        }
        state
    }
}
