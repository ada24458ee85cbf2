//! Translated slots to operations, with what each reads and writes.

use isa::{AluOp, AtomicOp, Callee, Imm64, Insn, Op, Reg, Src, Width};

use crate::{Env, JitError, env::Target};

/// Mode of a guarded load: where memory is not there the register becomes zero.
const PROBE_MEM: u8 = 0x20;
/// Like [`PROBE_MEM`], sign-extending.
const PROBE_MEMSX: u8 = 0x40;
/// Modes of operations on the arena.
const PROBE_MEM32: u8 = 0xa0;
const PROBE_MEM32SX: u8 = 0xc0;
const PROBE_ATOMIC: u8 = 0xe0;
const ATOMIC: u8 = 0xc0;
const CLASS_STX: u8 = 3;
const CLASS_LDX: u8 = 1;
const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;

/// Registers r0 to r10, then stack slots kept in registers: up to 16 in a set.
pub(crate) type Set = u16;

/// `bpf_map_lookup_elem`.
pub(crate) const LOOKUP: i32 = 1;

/// r0 to r5: what a call does not preserve.
pub(crate) const SCRATCH: Set = 0x3f;
/// r1 to r5.
pub(crate) const ARGS: Set = 0x3e;

/// One slot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ins {
    /// An operation; `guarded` marks a load that yields zero on a fault.
    Op { op: Op, guarded: bool },
    /// A memory operation on the arena, or a cast of its addresses.
    Arena(Op),
    /// A call of machine code outside the program.
    Native(Target),
    /// A helper whose first argument is a map: its number, and where it is for any map.
    OnMap(i32, Target),
    /// `bpf_tail_call`.
    TailCall,
    /// A call of a subprogram that is this block alone and uses these registers.
    Inlined { block: u32, regs: Set },
    /// Number of bits set, found by its idiom.
    CountBits { width: Width, dst: Reg, src: Reg },
    /// Nothing to do: the second slot of a 64-bit immediate, or a part of what became one
    /// instruction.
    Second,
}

/// Registers that an instruction reads and those it writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effect {
    pub(crate) reads: Set,
    pub(crate) writes: Set,
}

/// A program's slots, one after the other.
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) slots: Vec<Ins>,
    /// Of each slot. Calls of subprograms read all arguments until more is known.
    pub(crate) effects: Vec<Effect>,
}

/// Decodes all slots and resolves helpers.
pub(crate) fn decode(insns: &[Insn], env: &dyn Env) -> Result<Code, JitError> {
    let mut code =
        Code { slots: Vec::with_capacity(insns.len()), effects: Vec::with_capacity(insns.len()) };
    while code.slots.len() < insns.len() {
        let pc = code.slots.len();
        let ins = one(insns, pc, env)?;
        let effect = ins.effect();
        if effect.writes & bit(Reg::R10) != 0 {
            return Err(JitError::Untranslated { pc, what: "a write to the frame pointer" });
        }
        code.slots.push(ins);
        code.effects.push(effect);
        if matches!(ins, Ins::Op { op: Op::LdImm64 { .. }, .. }) {
            code.slots.push(Ins::Second);
            code.effects.push(Effect::default());
        }
    }
    Ok(code)
}

#[inline]
fn one(insns: &[Insn], pc: usize, env: &dyn Env) -> Result<Ins, JitError> {
    let insn = insns[pc];
    let decode = |insns: &[Insn], at| {
        isa::decode(insns, at).map_err(|source| JitError::Decode { pc, source })
    };
    let mode = match insn.code & MODE {
        PROBE_MEM if insn.class() == CLASS_LDX => MEM,
        PROBE_MEMSX if insn.class() == CLASS_LDX => MEMSX,
        PROBE_MEM32 | PROBE_MEM32SX | PROBE_ATOMIC if on_arena(insn) => {
            return arena(insn).map_err(|source| JitError::Decode { pc, source });
        }
        _ => return plain(decode(insns, pc)?, pc, env),
    };
    let load = Insn { code: insn.code & !MODE | mode, ..insn };
    Ok(Ins::Op { op: decode(&[load], 0)?, guarded: true })
}

/// A memory operation of a mode that plain code has only for atomic stores.
fn on_arena(insn: Insn) -> bool {
    matches!(
        (insn.code & MODE, insn.class()),
        (PROBE_MEM32, 1..=3) | (PROBE_MEM32SX, CLASS_LDX) | (PROBE_ATOMIC, CLASS_STX)
    )
}

#[cold]
fn arena(insn: Insn) -> Result<Ins, isa::DecodeError> {
    let mode = match insn.code & MODE {
        PROBE_MEM32 => MEM,
        PROBE_MEM32SX => MEMSX,
        _ => ATOMIC,
    };
    isa::decode(&[Insn { code: insn.code & !MODE | mode, ..insn }], 0).map(Ins::Arena)
}

#[inline]
fn plain(op: Op, pc: usize, env: &dyn Env) -> Result<Ins, JitError> {
    // Elements, queues, ring buffers.
    const ON_MAPS: [i32; 8] = [LOOKUP, 2, 3, 87, 88, 89, 130, 131];
    const TAIL_CALL: i32 = 12;
    match op {
        Op::Call(Callee::Helper(id)) if ON_MAPS.contains(&id) => {
            env.helper(id).map(|target| Ins::OnMap(id, target)).ok_or(JitError::Helper { pc, id })
        }
        Op::Call(Callee::Helper(TAIL_CALL)) => Ok(Ins::TailCall),
        Op::Call(Callee::Helper(id)) => {
            env.helper(id).map(Ins::Native).ok_or(JitError::Helper { pc, id })
        }
        Op::Call(Callee::Kfunc { id, off }) => {
            env.kfunc(id, off).map(Ins::Native).ok_or(JitError::Kfunc { pc, id, off })
        }
        Op::LdAbs { .. } | Op::LdInd { .. } => {
            Err(JitError::Untranslated { pc, what: "a packet load" })
        }
        Op::LdImm64 { imm, .. } if !matches!(imm, Imm64::Value(_) | Imm64::Func(_)) => {
            Err(JitError::Untranslated { pc, what: "a map or variable by descriptor" })
        }
        op @ Op::AddrSpaceCast { .. } => Ok(Ins::Arena(op)),
        op => Ok(Ins::Op { op, guarded: false }),
    }
}

pub(crate) fn bit(reg: Reg) -> Set {
    1 << reg.0
}

fn src_bit(src: Src) -> Set {
    match src {
        Src::Reg(reg) => bit(reg),
        Src::Imm(_) => 0,
    }
}

/// The first `n` argument registers.
pub(crate) fn args(n: u8) -> Set {
    ARGS & ((2 << n.min(5)) - 1)
}

impl Ins {
    #[inline]
    pub(crate) fn effect(&self) -> Effect {
        let (reads, writes) = match self {
            Ins::Op { op, .. } | Ins::Arena(op) => effect(op),
            Ins::Native(target) | Ins::OnMap(_, target) => (args(target.args), SCRATCH),
            Ins::TailCall => (args(3), SCRATCH),
            Ins::Inlined { .. } => (ARGS, SCRATCH),
            Ins::CountBits { dst, src, .. } => (bit(*src), bit(*dst)),
            Ins::Second => (0, 0),
        };
        Effect { reads, writes }
    }

    /// Whether it touches nothing but registers and its function's own stack.
    pub(crate) fn is_harmless(&self) -> bool {
        const FP: Reg = Reg::R10;
        match self {
            Ins::Op { op, .. } => match op {
                Op::Load { base, .. } | Op::Store { base, .. } => *base == FP,
                Op::LoadAcquire { .. } | Op::StoreRelease { .. } | Op::Atomic { .. } => false,
                _ => true,
            },
            Ins::Arena(_) | Ins::Native(_) | Ins::OnMap(..) | Ins::TailCall => false,
            Ins::Inlined { .. } | Ins::CountBits { .. } | Ins::Second => true,
        }
    }

    /// Whether nothing but its result makes it worth running.
    pub(crate) fn is_pure(&self) -> bool {
        match self {
            Ins::Op { op, .. } | Ins::Arena(op) => matches!(
                op,
                Op::Alu { .. }
                    | Op::Neg { .. }
                    | Op::MovSx { .. }
                    | Op::End { .. }
                    | Op::AddrSpaceCast { .. }
                    | Op::LdImm64 { .. }
                    | Op::Load { .. }
                    | Op::LoadAcquire { .. }
            ),
            Ins::CountBits { .. } => true,
            _ => false,
        }
    }
}

#[inline]
fn effect(op: &Op) -> (Set, Set) {
    match *op {
        Op::Alu { op: AluOp::Mov, dst, src, .. } => (src_bit(src), bit(dst)),
        Op::Alu { dst, src, .. } => (src_bit(src) | bit(dst), bit(dst)),
        Op::Neg { dst, .. } | Op::End { dst, .. } => (bit(dst), bit(dst)),
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } => (bit(src), bit(dst)),
        Op::LdImm64 { dst, .. } => (0, bit(dst)),
        Op::Load { dst, base, .. } | Op::LoadAcquire { dst, base, .. } => (bit(base), bit(dst)),
        Op::Store { base, src, .. } => (bit(base) | src_bit(src), 0),
        Op::StoreRelease { base, src, .. } => (bit(base) | bit(src), 0),
        Op::Atomic { op, fetch, base, src, .. } => {
            let r0 = if op == AtomicOp::Cmpxchg { 1 } else { 0 };
            let out = match (r0, fetch) {
                (1, _) => 1,
                (_, true) => bit(src),
                _ => 0,
            };
            (bit(base) | bit(src) | r0, out)
        }
        Op::Jmp { dst, src, .. } => (bit(dst) | src_bit(src), 0),
        Op::Call(_) => (ARGS, SCRATCH),
        Op::Exit => (1, 0),
        Op::Ja { .. } | Op::MayGoto { .. } | Op::LdAbs { .. } | Op::LdInd { .. } => (0, 0),
    }
}
