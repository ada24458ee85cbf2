//! Which registers may still be read, before each instruction.

use std::borrow::Cow;

use btf::{Kind, TypeId};
use isa::disasm::Names;
use isa::{AtomicOp, Callee, Insn, Op, Src};
use uapi::helper;

use super::graph::successors;
use crate::env::Env;
use crate::event::{Note, RegMask};

/// r0 to r5.
const CALLER_SAVED: u16 = 0x3f;
/// What an operation without rule reads.
const ALL: u16 = 0xffff;

/// Classic backward data flow within each subprogram.
pub(super) fn compute(env: &mut Env<'_>) {
    let insns = &env.prog.insns;
    let rules: Vec<(u16, u16)> = (0..insns.len()).map(|at| uses(env, at)).collect();
    let mut live_in = vec![0u16; insns.len()];
    for (at, (_, reads)) in rules.iter().enumerate() {
        live_in[at] = if env.aux[at].is_ld_imm64_tail { 0 } else { *reads };
    }
    let next: Vec<_> = (0..insns.len()).map(|at| successors(insns, at)).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for &at in &env.postorder {
            let at = at as usize;
            let out = next[at].iter().fold(0, |bits, to| bits | live_in[*to]);
            let (writes, reads) = rules[at];
            let new = (out & !writes) | reads;
            changed |= new != live_in[at];
            live_in[at] = new;
        }
    }
    for (aux, live) in env.aux.iter_mut().zip(&live_in) {
        aux.live_regs = *live;
    }
    if env.log.all_paths() {
        print(env);
    }
}

/// Registers written and read.
fn uses(env: &Env<'_>, at: usize) -> (u16, u16) {
    let bit = |r: isa::Reg| 1u16 << r.0;
    let src_bit = |s: Src| match s {
        Src::Reg(r) => bit(r),
        Src::Imm(_) => 0,
    };
    let Some(op) = env.ops[at] else { return (0, ALL) };
    match op {
        Op::LdImm64 { dst, .. } => (bit(dst), 0),
        Op::LdAbs { .. } | Op::LdInd { .. } => (0, ALL),
        Op::Load { dst, base, .. } | Op::LoadAcquire { dst, base, .. } => (bit(dst), bit(base)),
        Op::Store { base, src, .. } => (0, bit(base) | src_bit(src)),
        Op::StoreRelease { base, src, .. } => (0, bit(base) | bit(src)),
        Op::Atomic { op: AtomicOp::Cmpxchg, base, src, .. } => (1, 1 | bit(base) | bit(src)),
        Op::Atomic { fetch, base, src, .. } => {
            (if fetch { bit(src) } else { 0 }, bit(base) | bit(src))
        }
        Op::Alu { op: isa::AluOp::Mov, dst, src, .. } => (bit(dst), src_bit(src)),
        Op::Alu { dst, src, .. } => (bit(dst), bit(dst) | src_bit(src)),
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } => (bit(dst), bit(src)),
        Op::Neg { dst, .. } | Op::End { dst, .. } => (bit(dst), bit(dst)),
        Op::Ja { .. } | Op::MayGoto { .. } => (0, 0),
        Op::Jmp { dst, src, .. } => (0, bit(dst) | src_bit(src)),
        Op::Exit => (0, 1),
        Op::Call(callee) => {
            let count = params(env, at, callee).unwrap_or(5);
            (CALLER_SAVED, ((1 << (count + 1)) - 1) & !1)
        }
    }
}

/// How many parameters a helper or kernel function has; `None` for all five.
fn params(env: &Env<'_>, at: usize, callee: Callee) -> Option<u32> {
    match callee {
        Callee::Helper(id) => crate::calls::helper_params(env, id),
        Callee::Kfunc { off: 0, .. } => {
            let btf = env.world.kernel_btf.as_ref()?;
            let func = btf.ty(TypeId(env.prog.insns[at].imm as u32))?;
            Some(btf.ty(TypeId(func.size_or_type))?.vlen.min(5))
        }
        _ => None,
    }
}

/// Name in the kernel's BTF of the function that a call names.
pub(crate) fn kfunc_name<'w>(env: &Env<'w>, insn: Insn) -> Option<&'w str> {
    let btf = env.world.kernel_btf.as_ref().filter(|_| insn.off == 0)?;
    let func = btf.ty(TypeId(insn.imm as u32)).filter(|t| t.kind == Kind::Func)?;
    Some(func.name)
}

/// Linux's table at level 2.
fn print(env: &mut Env<'_>) {
    env.log.say(&Note::LiveRegs);
    for at in 0..env.prog.insns.len() {
        let aux = &env.aux[at];
        if aux.is_ld_imm64_tail {
            continue;
        }
        let (component, live) = (aux.scc, RegMask(aux.live_regs.into()));
        let text = env.insn_text(at);
        env.log.say(&Note::LiveRegsAt { component, insn: at, live, text: &text });
    }
}

/// Names as Linux's log has them.
pub(crate) struct LogNames<'e, 'a> {
    /// Knows the kernel's functions and the embedder's helpers.
    pub(crate) env: &'e Env<'a>,
}

impl Names for LogNames<'_, '_> {
    fn helper(&self, id: i32) -> Option<&str> {
        let id = u32::try_from(id).ok()?;
        let host = || self.env.world.host_helpers.iter().find(|h| h.id == id);
        helper(id).or_else(host).map(|h| &*h.name)
    }

    fn imm64(&self, insn: &Insn, _value: u64) -> Option<Cow<'_, str>> {
        // Addresses are not known here; Linux hides them from those who may not see them.
        (!matches!(insn.src().0, 0 | 4)).then_some(Cow::Borrowed("0x0"))
    }

    fn callee(&self, insn: &Insn) -> Option<Cow<'_, str>> {
        if insn.src().0 == 2 { kfunc_name(self.env, *insn).map(Cow::Borrowed) } else { None }
    }
}
