//! System calls of traced threads: their beginnings and ends, and breakpoints.

use std::io;

use super::fire::{At, End, fire, fire_hit};
use super::{Tracer, Watcher};
use crate::process::context;
use crate::process::control::{Begun, Decider, Finished, Kept};
use crate::process::here::World;
use crate::process::point::Form;
use crate::process::session::Sessions;
use crate::process::sys::memory;
use crate::process::sys::ptrace::{self, Regs, reg};
use crate::process::table::Table;
use crate::process::thread::Thread;

impl Tracer {
    /// A new thread comes back from the call that made it.
    pub(super) fn first_stop(&mut self, tid: i32) -> io::Result<()> {
        let regs = ptrace::regs(tid)?;
        let number = regs[reg::ORIG_RAX] as u32;
        if self.live && !self.table.leave(number).is_empty() {
            self.leave_programs(tid, number, &regs);
        }
        self.resume(tid, 0)
    }

    /// A system call begins.
    pub(super) fn entered(&mut self, tid: i32) -> io::Result<i32> {
        let mut regs = ptrace::regs(tid)?;
        let number = regs[reg::ORIG_RAX] as u32;
        if let Some(path) = Table::exec_path(number) {
            if !std::mem::replace(&mut self.live, true) {
                self.listen(tid)?;
            }
            let path = self.string(tid, regs[context::ARGS[path]]);
            if let Some(thread) = self.world.threads.get_mut(&tid) {
                thread.exec_path = path;
            }
        }
        if Table::changes_ids(number)
            && let Some(thread) = self.world.threads.get(&tid)
        {
            thread.forget_cred();
            self.shared.forget(tid);
        }
        if !self.live {
            return Ok(tid);
        }
        let result = self.enter_programs(tid, number, &regs);
        if let Some(value) = result {
            skip(&mut regs, value as i64);
            ptrace::set_regs(tid, &regs)?;
        } else {
            self.decide(tid, number, &mut regs)?;
        }
        let maps_code = !self.probes.is_empty() && Table::maps_code(number);
        if (maps_code || !self.table.leave(number).is_empty())
            && let Some(thread) = self.world.threads.get_mut(&tid)
        {
            thread.in_call = Some(number);
        }
        Ok(tid)
    }

    /// Programs that decide on a call that begins.
    fn decide(&mut self, tid: i32, number: u32, regs: &mut Regs) -> io::Result<()> {
        if self.controls.calls().binary_search(&number).is_err() {
            return Ok(());
        }
        let Some(thread) = self.world.threads.get(&tid) else { return Ok(()) };
        let kept = self.controls.keep(number, thread, regs);
        let mut decider =
            Decider::new(&self.controls, &mut self.programs, &self.world, thread, regs);
        let begun = self.controls.begin(number, &mut decider);
        let options = std::mem::take(&mut decider.options);
        self.ran |= decider.ran;
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(()) };
        match begun {
            Begun::GoesOn => {
                thread.kept = kept.map(|kept| Kept { options, ..kept });
                if thread.kept.is_some() {
                    thread.in_call = Some(number);
                }
            }
            Begun::Done(result) => {
                skip(regs, result);
                ptrace::set_regs(tid, regs)?;
            }
            Begun::Later(job) => thread.waits_for = Some(self.controls.workers.start(tid, job)?),
        }
        Ok(())
    }

    /// Whether a thread's call is done by another thread.
    pub(super) fn waits(&self, tid: i32) -> bool {
        self.world.threads.get(&tid).is_some_and(|thread| thread.waits_for.is_some())
    }

    /// A call that another thread did has its result.
    pub(super) fn finish(&mut self, finished: &Finished) -> io::Result<()> {
        let tid = finished.tid;
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(()) };
        if thread.waits_for != Some(finished.serial) {
            return Ok(());
        }
        thread.waits_for = None;
        let mut regs = ptrace::regs(tid)?;
        if let Some(thread) = self.world.threads.get(&tid) {
            let mut decider =
                Decider::new(&self.controls, &mut self.programs, &self.world, thread, &regs);
            self.controls.finished(&mut decider, finished.result);
            self.ran |= decider.ran;
        }
        skip(&mut regs, finished.result);
        ptrace::set_regs(tid, &regs)?;
        self.resume(tid, 0)
    }

    /// Programs that change what a call gave back.
    fn decide_end(&mut self, tid: i32, number: u32, regs: &mut Regs) -> io::Result<()> {
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(()) };
        let Some(kept) = thread.kept.take() else { return Ok(()) };
        let Some(thread) = self.world.threads.get(&tid) else { return Ok(()) };
        let mut decider =
            Decider::new(&self.controls, &mut self.programs, &self.world, thread, regs);
        let result = self.controls.end(number, &mut decider, &kept);
        self.ran |= decider.ran;
        if let Some(result) = result {
            regs[reg::RAX] = result as u64;
            ptrace::set_regs(tid, regs)?;
        }
        Ok(())
    }

    /// A system call ends.
    pub(super) fn left(&mut self, tid: i32, watcher: &mut dyn Watcher) -> io::Result<i32> {
        let thread = self.world.threads.get_mut(&tid);
        let Some(number) = thread.and_then(|thread| thread.in_call.take()) else { return Ok(tid) };
        let mut regs = ptrace::regs(tid)?;
        self.decide_end(tid, number, &mut regs)?;
        self.leave_programs(tid, number, &regs);
        if !self.probes.is_empty()
            && Table::maps_code(number)
            && let Some(thread) = self.world.threads.get(&tid)
        {
            let execed = Table::exec_path(number).is_some();
            for note in self.probes.mapped(thread, execed)? {
                watcher.note(&note);
            }
        }
        Ok(tid)
    }

    fn enter_programs(&mut self, tid: i32, number: u32, regs: &Regs) -> Option<u64> {
        let ids = self.table.enter(number);
        let mut sessions = Sessions::default();
        let at = At { tid, regs, func_ip: self.func_ip(number) };
        let end = End::Begins(&mut sessions);
        let make = |form, thread: &Thread, world: &World| {
            let pt_regs =
                if form == Form::Record { 0 } else { world.kernel.set_regs(thread, regs) };
            Some(context::enter(form, tid, regs, pt_regs))
        };
        let result = fire(&mut self.programs, ids, &self.world, at, end, &make);
        self.ran |= !ids.is_empty();
        if let Some(thread) = self.world.threads.get_mut(&tid) {
            thread.sessions = sessions;
        }
        result
    }

    pub(super) fn leave_programs(&mut self, tid: i32, number: u32, regs: &Regs) {
        let ids = self.table.leave(number);
        let thread = self.world.threads.get_mut(&tid);
        let sessions = thread.map(|thread| std::mem::take(&mut thread.sessions));
        let sessions = sessions.unwrap_or_default();
        let at = At { tid, regs, func_ip: self.func_ip(number) };
        let make = |form, thread: &Thread, world: &World| {
            let pt_regs =
                if form == Form::Record { 0 } else { world.kernel.set_regs(thread, regs) };
            Some(context::leave(form, tid, number, regs, pt_regs))
        };
        fire(&mut self.programs, ids, &self.world, at, End::Ends(&sessions), &make);
        self.ran |= !ids.is_empty();
    }

    fn func_ip(&self, number: u32) -> u64 {
        self.addresses.as_ref().map_or(0, |addresses| addresses.of(number))
    }

    /// A thread has run into an `int3`; whether it is one of ours.
    pub(super) fn breakpoint(&mut self, tid: i32) -> io::Result<bool> {
        let mut regs = ptrace::regs(tid)?;
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(false) };
        let Some(hit) = self.probes.hit(thread, &mut regs) else { return Ok(false) };
        let sessions = fire_hit(&mut self.programs, &hit, &self.world, tid, &regs);
        self.ran |= !hit.programs.is_empty();
        if let Some(thread) = self.world.threads.get_mut(&tid) {
            self.probes.step(thread, &mut regs, sessions)?;
        }
        ptrace::set_regs(tid, &regs)?;
        Ok(true)
    }

    pub(super) fn string(&self, tid: i32, addr: u64) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let read = memory::read(tid, addr, &mut bytes);
        bytes.truncate(read);
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(read));
        bytes
    }
}

/// No such call: the kernel skips it, and the result stays as set here.
fn skip(regs: &mut Regs, result: i64) {
    regs[reg::ORIG_RAX] = u64::MAX;
    regs[reg::RAX] = result as u64;
}
