//! Successors, postorder, and loops as strongly connected components.

use isa::Insn;
use smallvec::SmallVec;

use crate::env::Env;

pub(super) const CALL: u8 = 0x85;
pub(super) const LD_IMM64: u8 = 0x18;
const EXIT: u8 = 0x95;
const JA: u8 = 0x05;
const JA_LONG: u8 = 0x06;
const JCOND: u8 = 0xe5;

/// `may_goto`.
pub(super) fn is_may_goto(insn: Insn) -> bool {
    insn.code == JCOND && insn.src().0 == 0
}

/// Slots that may follow within the subprogram; calls return.
pub(crate) fn successors(insns: &[Insn], at: usize) -> SmallVec<[usize; 2]> {
    let insn = insns[at];
    let mut out = SmallVec::new();
    let jumps = matches!(insn.class(), 5 | 6) && !matches!(insn.code, CALL | EXIT);
    let only_jumps = matches!(insn.code, JA | JA_LONG);
    if insn.code != EXIT && !only_jumps {
        out.push(at + if insn.code == LD_IMM64 { 2 } else { 1 });
    }
    if jumps {
        let rel = if insn.code == JA_LONG { insn.imm } else { i32::from(insn.off) };
        out.push((at as i64 + i64::from(rel) + 1) as usize);
    }
    out.retain(|to| *to < insns.len());
    out
}

/// Fills [`Env::postorder`], a subprogram after the other.
pub(super) fn postorder(env: &mut Env<'_>) {
    const DISCOVERED: u8 = 1;
    const EXPLORED: u8 = 2;
    let insns = &env.prog.insns;
    let mut state = vec![0u8; insns.len()];
    let mut order = Vec::with_capacity(insns.len());
    let mut stack = Vec::new();
    for sub in &mut env.subprogs {
        sub.postorder_start = order.len();
        stack.push(sub.start);
        while let Some(&top) = stack.last() {
            state[top] |= DISCOVERED;
            if state[top] & EXPLORED != 0 {
                order.push(top as u32);
                stack.pop();
                continue;
            }
            for to in successors(insns, top) {
                if state[to] == 0 {
                    state[to] = DISCOVERED;
                    stack.push(to);
                }
            }
            state[top] |= EXPLORED;
        }
    }
    env.postorder = order;
}

/// Numbers the components that are loops (R. Tarjan, 1972, in D. Pearce's form): more than one
/// instruction, or one that follows itself.
pub(super) fn components(env: &mut Env<'_>) {
    const OFF_STACK: u32 = u32::MAX;
    let insns = &env.prog.insns;
    let (mut pre, mut low) = (vec![0u32; insns.len()], vec![0u32; insns.len()]);
    let (mut stack, mut dfs) = (Vec::new(), Vec::new());
    let (mut next_pre, mut next_id) = (1, 1);
    for start in 0..insns.len() {
        if pre[start] != 0 {
            continue;
        }
        dfs.push(start);
        'walk: while let Some(&at) = dfs.last() {
            if pre[at] == 0 {
                (pre[at], low[at]) = (next_pre, next_pre);
                next_pre += 1;
                stack.push(at);
            }
            let next = successors(insns, at);
            for &to in &next {
                if pre[to] == 0 {
                    dfs.push(to);
                    continue 'walk;
                }
                low[at] = low[at].min(low[to]);
            }
            dfs.pop();
            if low[at] < pre[at] {
                continue; // something earlier on the stack can be reached: not a root
            }
            let is_loop = stack.last() != Some(&at) || next.contains(&at);
            while let Some(member) = stack.pop() {
                low[member] = OFF_STACK;
                if is_loop {
                    env.aux[member].scc = next_id;
                }
                if member == at {
                    break;
                }
            }
            next_id += u32::from(is_loop);
        }
    }
    env.scc_count = next_id;
}
