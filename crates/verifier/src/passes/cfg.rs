//! The graph of instructions: everything reachable, no jump into an immediate, and the places
//! where the walk compares states and remembers jumps.

use uapi::{helper, helper_for, kfunc_flags};

use super::graph::{CALL, LD_IMM64, is_may_goto};
use super::kfuncs::Special;
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::BadFlow;

/// Helpers that walk a callback before they return.
const SYNC_CALLBACK: &[i32] = &[164, 180, 181, 209];
/// `bpf_timer_set_callback`.
const ASYNC_CALLBACK: i32 = 170;

/// Helpers after which pointers into the packet are no longer good.
const CHANGES_PACKET: &[i32] =
    &[9, 10, 11, 12, 13, 18, 19, 31, 38, 39, 43, 44, 50, 54, 63, 65, 73, 74, 75, 76, 90, 91, 143];

/// Whether a helper may move or change the packet.
pub(crate) fn changes_packet(id: i32) -> bool {
    CHANGES_PACKET.contains(&id)
}

const DISCOVERED: u8 = 0x10;
const EXPLORED: u8 = 0x20;
const FALLTHROUGH: u8 = 1;
const BRANCH: u8 = 2;

enum Step {
    Done,
    Deeper,
}

struct Walk<'e, 'a> {
    env: &'e mut Env<'a>,
    state: Vec<u8>,
    stack: Vec<usize>,
}

/// Depth-first over all edges, as Linux goes.
pub(super) fn check(env: &mut Env<'_>) -> Checked {
    let len = env.prog.insns.len();
    let exception = env.exception_callback.map(|n| env.subprogs[n].start);
    let mut walk = Walk { env, state: vec![0; len], stack: Vec::new() };
    walk.from(0)?;
    if let Some(start) = exception
        && walk.state[start] != EXPLORED
    {
        walk.from(start)?;
    }
    walk.check_reached()
}

impl Walk<'_, '_> {
    fn from(&mut self, start: usize) -> Checked {
        self.state[start] = DISCOVERED;
        self.stack.push(start);
        while let Some(&at) = self.stack.last() {
            if let Step::Done = self.visit(at)? {
                self.state[at] = EXPLORED;
                self.stack.pop();
            }
        }
        Ok(())
    }

    fn check_reached(&self) -> Checked {
        let insns = &self.env.prog.insns;
        let mut at = 0;
        while at < insns.len() {
            if self.state[at] != EXPLORED {
                return reject!(EINVAL, BadFlow::Unreachable { insn: at });
            }
            if insns[at].is_ld_imm64() {
                if self.state[at + 1] != 0 {
                    return reject!(EINVAL, BadFlow::IntoImm64 { insn: at });
                }
                at += 1;
            }
            at += 1;
        }
        Ok(())
    }

    fn visit(&mut self, at: usize) -> Checked<Step> {
        let insn = self.env.prog.insns[at];
        if insn.is_ld_imm64() && insn.src().0 == 4 {
            return self.visit_call(at, 2, true);
        }
        if !matches!(insn.class(), 5 | 6) {
            let next = at + if insn.code == LD_IMM64 { 2 } else { 1 };
            return self.edge(at, next as i64, FALLTHROUGH);
        }
        match insn.code & 0xf0 {
            0x90 => Ok(Step::Done),
            0x80 => {
                self.note_call(at);
                self.visit_call(at, 1, insn.src().0 == 1)
            }
            0x00 => self.visit_jump(at),
            _ => self.visit_branch(at),
        }
    }

    fn visit_jump(&mut self, at: usize) -> Checked<Step> {
        let insn = self.env.prog.insns[at];
        if insn.code & 8 != 0 {
            return reject!(EINVAL);
        }
        let rel = if insn.class() == 5 { i32::from(insn.off) } else { insn.imm };
        let to = at as i64 + i64::from(rel) + 1;
        let step = self.edge(at, to, FALLTHROUGH)?;
        if let Step::Done = step {
            self.mark_target(to as usize);
        }
        Ok(step)
    }

    fn visit_branch(&mut self, at: usize) -> Checked<Step> {
        let insn = self.env.prog.insns[at];
        self.env.aux[at].prune_point = true;
        if is_may_goto(insn) {
            self.env.aux[at].is_may_goto = true;
            self.env.aux[at].force_checkpoint = true;
        }
        match self.edge(at, at as i64 + 1, FALLTHROUGH)? {
            Step::Deeper => Ok(Step::Deeper),
            Step::Done => self.edge(at, at as i64 + i64::from(insn.off) + 1, BRANCH),
        }
    }

    /// What a call does to its own slot and to its subprogram.
    fn note_call(&mut self, at: usize) {
        let insn = self.env.prog.insns[at];
        let sub = self.env.subprog_at(at);
        let aux = &mut self.env.aux[at];
        match insn.src().0 {
            0 => {
                if insn.imm == ASYNC_CALLBACK {
                    aux.prune_point = true;
                }
                if SYNC_CALLBACK.contains(&insn.imm) {
                    mark_callback(aux);
                }
                let variant = self.env.variant;
                let proto = u32::try_from(insn.imm).ok().and_then(|id| match variant {
                    Some(v) => helper_for(id, v),
                    None => helper(id),
                });
                let subprog = &mut self.env.subprogs[sub];
                subprog.might_sleep |= proto.is_some_and(|p| p.might_sleep);
                subprog.changes_pkt_data |= changes_packet(insn.imm);
            }
            2 => self.note_kfunc(at, sub),
            _ => {}
        }
    }

    fn note_kfunc(&mut self, at: usize, sub: usize) {
        let Some(func) = self.env.kfunc_at(at).copied() else { return };
        let aux = &mut self.env.aux[at];
        match func.special {
            Special::WqSetCallback | Special::TaskWorkSignal | Special::TaskWorkResume => {
                aux.prune_point = true;
            }
            Special::RbtreeAdd => mark_callback(aux),
            _ => {}
        }
        if func.has(kfunc_flags::ITER_NEXT) {
            aux.prune_point = true;
            aux.force_checkpoint = true;
            aux.is_iter_next = true;
        }
        let subprog = &mut self.env.subprogs[sub];
        subprog.might_sleep |= func.has(kfunc_flags::SLEEPABLE);
        subprog.changes_pkt_data |= func.special == Special::XdpPullData && func.row.is_some();
    }

    fn visit_call(&mut self, at: usize, slots: usize, into: bool) -> Checked<Step> {
        let next = at + slots;
        if let Step::Deeper = self.edge(at, next as i64, FALLTHROUGH)? {
            return Ok(Step::Deeper);
        }
        self.env.aux[next].prune_point = true;
        self.env.aux[next].jmp_point = true;
        if !into {
            return Ok(Step::Done);
        }
        let to = at as i64 + i64::from(self.env.prog.insns[at].imm) + 1;
        self.env.aux[at].prune_point = true;
        let (caller, callee) = (self.env.subprog_at(at), self.env.subprog_at(to as usize));
        let (changes, sleeps) = {
            let c = &self.env.subprogs[callee];
            (c.changes_pkt_data, c.might_sleep)
        };
        self.env.subprogs[caller].changes_pkt_data |= changes;
        self.env.subprogs[caller].might_sleep |= sleeps;
        self.edge(at, to, BRANCH)
    }

    fn mark_target(&mut self, to: usize) {
        let aux = &mut self.env.aux[to];
        aux.prune_point = true;
        aux.jmp_point = true;
        aux.jump_target = true;
    }

    fn edge(&mut self, at: usize, to: i64, kind: u8) -> Checked<Step> {
        if self.state[at] >= DISCOVERED | kind {
            return Ok(Step::Done);
        }
        let Some(to) = usize::try_from(to).ok().filter(|to| *to < self.state.len()) else {
            return reject!(EINVAL, BadFlow::JumpRange { from: at, to });
        };
        if kind == BRANCH {
            self.mark_target(to);
        }
        match self.state[to] {
            0 => {
                self.state[at] = DISCOVERED | kind;
                self.state[to] = DISCOVERED;
                self.stack.push(to);
                Ok(Step::Deeper)
            }
            EXPLORED => {
                self.state[at] = DISCOVERED | kind;
                Ok(Step::Done)
            }
            _ if self.env.caps.bpf_capable => Ok(Step::Done),
            _ => reject!(EINVAL, BadFlow::BackEdge { from: at, to }),
        }
    }
}

/// The callback is walked again and again, back to the call: a checkpoint each time.
fn mark_callback(aux: &mut crate::env::InsnAux) {
    aux.calls_callback = true;
    aux.force_checkpoint = true;
    aux.prune_point = true;
    aux.jmp_point = true;
}

const _: u8 = CALL;
