//! The order of a verification, and its answer.

use isa::{Callee, Op};

use crate::env::Env;
use crate::error::{Checked, Reject};
use crate::event::{BadKfunc, Note, Reason};
use crate::input::{LogOptions, Policy, Program, World};
use crate::log::{Log, say};
use crate::outcome::{Facts, InsnFacts, KfuncCall, Outcome, Rejection, SubprogFacts};
use crate::passes;
use crate::state::FuncState;

/// Whether Linux 6.18 accepts the program, and why not.
pub fn verify(program: &Program, world: &World, policy: &Policy, log: &LogOptions) -> Outcome {
    if let Err(reject) = passes::check_attributes(program, policy) {
        return Outcome {
            verdict: Err(rejection(&reject)),
            stats: Default::default(),
            log: String::new(),
        };
    }
    let started = log.clock.map(|now| now());
    let mut env = Env::new(program, world, policy, Log::new(log));
    let verdict = match env.run() {
        Ok(()) => Ok(if policy.collect_facts { env.facts() } else { Facts::default() }),
        Err(reject) => {
            if env.log.level != 0 {
                env.log.say_reject(&reject);
            }
            Err(rejection(&reject))
        }
    };
    if let (Some(now), Some(started)) = (log.clock, started) {
        env.stats.time = now().saturating_sub(started);
    }
    env.print_statistics(verdict.is_ok());
    let log = env.log.finish();
    Outcome { verdict, stats: env.stats, log }
}

fn rejection(reject: &Reject) -> Rejection {
    let text = |reason: Option<&Reason>| reason.map(Reason::to_string).unwrap_or_default();
    let (first, last) = (reject.reasons().first(), reject.reasons().last());
    Rejection {
        errno: reject.errno(),
        id: first.map(Reason::id).unwrap_or_default(),
        message: text(last).lines().last().unwrap_or_default().to_owned(),
        reason: text(first).lines().next().unwrap_or_default().to_owned(),
        insn: reject.insn(),
        needs: reject.feature(),
    }
}

impl Env<'_> {
    pub(crate) fn run(&mut self) -> Checked {
        passes::run(self)?;
        self.walk_main()?;
        self.walk_globals()?;
        self.check_weak_functions()?;
        passes::stack_depth::check(self)
    }

    /// Weak functions that the kernel does not have must not be reached.
    fn check_weak_functions(&self) -> Checked {
        let weak = |at: &usize| {
            matches!(self.ops[*at], Some(Op::Call(Callee::Kfunc { id: 0, .. })))
                && self.aux[*at].seen
        };
        match (0..self.ops.len()).find(weak) {
            Some(at) => Err(Reject::new(uapi::Errno::EINVAL, BadKfunc::NotEliminated).at(at)),
            None => Ok(()),
        }
    }

    fn walk_main(&mut self) -> Checked {
        let frame = self.entry_frame(0)?;
        self.walk_subprog(frame, 0)
    }

    fn walk_subprog(&mut self, frame: FuncState, start: usize) -> Checked {
        self.log.scratch_all();
        self.walk(frame, start)?;
        if self.log.on() && !self.log.all_paths() {
            self.log.clear();
        }
        Ok(())
    }

    /// Global functions that verified code calls, until there are no more.
    fn walk_globals(&mut self) -> Checked {
        if self.prog.func_info.is_empty() {
            return Ok(());
        }
        if let Some(n) = self.exception_callback {
            self.subprogs[n].called = true;
        }
        let mut verified = vec![false; self.subprogs.len()];
        loop {
            let mut any = false;
            for (n, done) in verified.iter_mut().enumerate().skip(1) {
                let sub = &self.subprogs[n];
                if !sub.is_global || !sub.called || *done {
                    continue;
                }
                let (name, start) = (sub.name.clone(), sub.start);
                let frame = self.entry_frame(n)?;
                self.walk_subprog(frame, start)?;
                say!(self, Note::SafeForAnyArgs { func: n, name: &name });
                *done = true;
                any = true;
            }
            if !any {
                return Ok(());
            }
        }
    }

    fn facts(&mut self) -> Facts {
        let insns = self.aux.iter().map(|aux| InsnFacts {
            reachable: aux.seen,
            access: aux.access,
            branch: match (aux.jumped, aux.fell_through) {
                (true, false) => Some(true),
                (false, true) => Some(false),
                _ => None,
            },
            map: aux.call_map.flatten(),
            const_key: aux.call_key.flatten(),
        });
        let subprogs = self.subprogs.iter().map(|s| SubprogFacts {
            name: s.name.clone(),
            start: s.start,
            end: s.end,
            stack_depth: s.stack_depth as u32,
            has_tail_call: s.has_tail_call,
            unreliable: s.unreliable,
            changes_packet: s.changes_pkt_data,
            might_sleep: s.might_sleep,
            exception_callback: s.is_exception_cb,
        });
        let kfuncs = (0..self.aux.len()).filter(|at| self.aux[*at].seen).filter_map(|insn| {
            let func = self.kfunc_at(insn)?;
            let object = self.aux[insn].object.unwrap_or_default();
            Some(KfuncCall { insn, id: func.id, name: func.name.to_owned(), object })
        });
        let mut used_helpers = self.used_helpers.clone();
        used_helpers.sort_unstable();
        used_helpers.dedup();
        Facts {
            exception_callback: self.exception_callback,
            insns: insns.collect(),
            subprogs: subprogs.collect(),
            used_maps: self.used_maps.clone(),
            used_helpers,
            kfuncs: kfuncs.collect(),
            changes_packet: self.changes_packet,
            attach_proto: self.attach.proto,
            demands: self.demands,
        }
    }
}
