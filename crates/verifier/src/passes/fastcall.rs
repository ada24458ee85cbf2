//! Spills and fills around calls that keep registers: clang writes them for old kernels, Linux
//! takes them out again where the call is inlined.

use isa::Insn;
use uapi::{helper_facts, helper_for};

use crate::env::Env;

const STORE: u8 = 0x7b;
const LOAD: u8 = 0x79;
const CALL: u8 = 0x85;
/// r0 to r5.
const CALLER_SAVED: u16 = 0x3f;

/// Marks the patterns of every subprogram.
pub(super) fn mark(env: &mut Env<'_>) {
    let insns = &env.prog.insns;
    for sub in 0..env.subprogs.len() {
        let range = env.subprogs[sub].start..env.subprogs[sub].end;
        let spills = insns[range.clone()].iter().filter(|i| i.code == STORE && i.dst().0 == 10);
        let lowest = spills.map(|i| i.off).min().unwrap_or(0).min(0);
        for at in range {
            if insns[at].code == CALL {
                mark_call(env, sub, at, lowest);
            }
        }
    }
}

fn mark_call(env: &mut Env<'_>, sub: usize, at: usize, lowest: i16) {
    let Some((clobbered, inlined)) = clobbers(env, env.prog.insns[at]) else { return };
    if clobbered == CALLER_SAVED {
        return;
    }
    let mut expected = !clobbered & CALLER_SAVED;
    let (mut off, mut pairs) = (lowest, 0);
    for n in 1..=6 {
        if !is_pair(env, at, n, off, expected) {
            break;
        }
        expected &= !(1 << env.prog.insns[at - n].src().0);
        env.aux[at - n].fastcall_pattern = true;
        env.aux[at + n].fastcall_pattern = true;
        off = off.saturating_add(8);
        pairs += 1;
    }
    if pairs == 0 {
        return;
    }
    let subprog = &mut env.subprogs[sub];
    if inlined {
        env.aux[at].fastcall_spills = pairs;
    } else {
        subprog.keep_fastcall_stack = true;
    }
    subprog.fastcall_stack_off = subprog.fastcall_stack_off.min(off);
}

/// The `n`-th spill before and fill after the call belong together.
fn is_pair(env: &Env<'_>, at: usize, n: usize, off: i16, expected: u16) -> bool {
    let insns = &env.prog.insns;
    if n > at || at + n >= insns.len() {
        return false;
    }
    if env.aux[at - n + 1].jump_target || env.aux[at + n].jump_target {
        return false;
    }
    let (spill, fill) = (insns[at - n], insns[at + n]);
    let stack = spill.code == STORE && spill.dst().0 == 10;
    stack
        && fill.code == LOAD
        && fill.src().0 == 10
        && spill.src() == fill.dst()
        && expected & (1 << spill.src().0) != 0
        && spill.off == off
        && fill.off == off
}

/// Registers that the call overwrites under its fast convention, and whether Linux inlines it.
fn clobbers(env: &Env<'_>, call: Insn) -> Option<(u16, bool)> {
    if call.src().0 == 2 {
        let name = super::live::kfunc_name(env, call)?;
        let btf = env.world.kernel_btf.as_ref()?;
        let proto = btf.ty(btf::TypeId(btf.ty(btf::TypeId(call.imm as u32))?.size_or_type))?;
        let ret = u16::from(proto.size_or_type != 0);
        let fast = matches!(name, "bpf_cast_to_kern_ctx" | "bpf_rdonly_cast");
        return Some((ret | args(proto.vlen as usize), fast));
    }
    if call.src().0 != 0 {
        return None;
    }
    let id = u32::try_from(call.imm).ok()?;
    let variant = env.variant?;
    let proto = helper_for(id, variant)?;
    let ret = u16::from(proto.ret.kind != uapi::RetKind::Void);
    let fast = helper_facts(id).is_some_and(|f| f.fastcall & variant.bit() != 0);
    Some((ret | args(proto.args.len()), fast))
}

/// r1 and on.
fn args(count: usize) -> u16 {
    ((1u16 << (count.min(5) + 1)) - 1) & !1
}
