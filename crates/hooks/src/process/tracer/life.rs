//! Lives of traced processes: forks, execs, exits.

use std::io;

use super::fire::{At, End, fire};
use super::follow::done;
use super::{Ended, Tracer, Watcher};
use crate::process::context::{self, Context};
use crate::process::here::World;
use crate::process::kernel::{Sched, Values};
use crate::process::point::Form;
use crate::process::sys::ptrace::{self, Regs};
use crate::process::thread::{self, Thread};

impl Tracer {
    /// A thread has made another one, which is stopped or will be before it runs.
    pub(super) fn forked(&mut self, tid: i32) -> io::Result<i32> {
        let child = ptrace::message(tid)? as i32;
        let child_id = child;
        let tgid = thread::proc_tgid(child).unwrap_or(child);
        let parent = self.world.threads.get(&tid).map_or(0, |parent| parent.tgid);
        let threads = &mut self.world.threads;
        let thread = threads.entry(child).or_insert_with(|| Thread::new(child, tgid));
        thread.announced = true;
        (thread.tgid, thread.ppid, thread.born) = (tgid, parent, now());
        let arrived = thread.arrived;
        let returns = self.world.threads.get(&tid).map(|parent| parent.returns.clone());
        if let (Some(child), Some(returns)) = (self.world.threads.get_mut(&child), returns)
            && child.tgid != parent
        {
            child.returns = returns;
        }
        self.probes.forked(parent, tgid);
        self.shared.forget(child_id);
        if self.live && !self.table.fork.is_empty() {
            let regs = ptrace::regs(tid)?;
            let ids = self.table.fork.as_slice();
            fire(
                &mut self.programs,
                ids,
                &self.world,
                At::moment(tid, &regs),
                End::None,
                &|form, thread, world| {
                    let child = world.threads.get(&child)?;
                    let find = |tid| world.threads.get(&tid);
                    if form == Form::Args {
                        let tasks = [thread, child].map(|thread| world.kernel.task(thread, &find));
                        return Some(context::args(&tasks));
                    }
                    let (comm, child_comm) = (thread.comm(), child.comm());
                    let texts = [("comm", trim(&comm)), ("child_comm", trim(&child_comm))];
                    let numbers = [("pid", tid.into()), ("child_pid", child.tid.into())];
                    record(world, Sched::Fork, tid, &numbers, &texts)
                },
            );
            self.ran = true;
        }
        if arrived {
            done(self.first_stop(child))?;
        }
        Ok(tid)
    }

    /// A thread runs another program from now on; the other threads of its process are gone.
    pub(super) fn execed(&mut self, tid: i32, watcher: &mut dyn Watcher) -> io::Result<i32> {
        (self.live, self.started) = (true, true);
        let former = ptrace::message(tid)? as i32;
        if former != tid
            && let Some(mut thread) = self.world.threads.remove(&former)
        {
            // It takes the id of its process; that thread's end will not be told.
            if let Some(leader) = self.world.threads.remove(&tid) {
                self.world.kernel.forget(&leader);
            }
            self.world.kernel.forget(&thread);
            thread = thread.renamed(tid);
            self.world.threads.insert(tid, thread);
        }
        let Some(thread) = self.world.threads.get_mut(&tid) else { return Ok(tid) };
        thread.forget_cred();
        thread.returns.clear();
        self.probes.execed(tid);
        self.shared.forget(tid);
        let path = std::mem::take(&mut thread.exec_path);
        check_image(tid, watcher);
        if !self.table.exec.is_empty() {
            let regs = ptrace::regs(tid)?;
            let ids = self.table.exec.as_slice();
            fire(
                &mut self.programs,
                ids,
                &self.world,
                At::moment(tid, &regs),
                End::None,
                &|form, thread, world| {
                    if form == Form::Args {
                        let task = world.kernel.task(thread, &|tid| world.threads.get(&tid));
                        let bprm = world.kernel.binprm(thread, &path);
                        return Some(context::args(&[task, former as u64, bprm]));
                    }
                    let numbers = [("pid", tid.into()), ("old_pid", former.into())];
                    record(world, Sched::Exec, tid, &numbers, &[("filename", &path)])
                },
            );
            self.ran = true;
        }
        Ok(tid)
    }

    /// A thread ends; its memory is still there.
    pub(super) fn exits(&mut self, tid: i32) -> io::Result<i32> {
        let code = ptrace::message(tid)?;
        let regs = ptrace::regs(tid).unwrap_or_default();
        self.tell_exit(tid, code, &regs);
        Ok(tid)
    }

    pub(super) fn tell_exit(&mut self, tid: i32, code: u64, regs: &Regs) {
        let threads = &mut self.world.threads;
        let Some(thread) = threads.get_mut(&tid) else { return };
        thread.waits_for = None;
        if std::mem::replace(&mut thread.exit_told, true) || !self.live {
            return;
        }
        let tgid = thread.tgid;
        let dead = !threads.values().any(|other| other.tgid == tgid && !other.exit_told);
        let ids = self.table.exit.as_slice();
        fire(
            &mut self.programs,
            ids,
            &self.world,
            At::moment(tid, regs),
            End::None,
            &|form, thread, world| {
                let task = world.kernel.task(thread, &|tid| world.threads.get(&tid));
                world.kernel.set_exit_code(thread, code);
                if form == Form::Args {
                    return Some(context::args(&[task, dead.into()]));
                }
                let comm = thread.comm();
                let numbers = [("pid", tid.into()), ("prio", 120), ("group_dead", dead.into())];
                record(world, Sched::Exit, tid, &numbers, &[("comm", trim(&comm))])
            },
        );
        self.ran |= !ids.is_empty();
    }

    /// A thread has ended.
    pub(super) fn gone(&mut self, tid: i32, how: Ended) -> io::Result<()> {
        let code = match how {
            Ended::Exited(status) => u64::from(status) << 8,
            Ended::Killed(signal) => signal as u64,
        };
        self.tell_exit(tid, code, &Regs::default());
        self.shared.forget(tid);
        if let Some(thread) = self.world.threads.remove(&tid) {
            self.world.kernel.forget(&thread);
            if tid == thread.tgid {
                self.probes.gone(tid);
                self.sampler.forget(tid);
            }
        }
        if tid == self.root {
            self.ended = Some(how);
        }
        Ok(())
    }
}

fn trim(comm: &[u8; 16]) -> &[u8] {
    &comm[..comm.iter().position(|byte| *byte == 0).unwrap_or(15)]
}

fn record(
    world: &World,
    event: Sched,
    tid: i32,
    numbers: &[(&'static str, i64)],
    texts: &[(&'static str, &[u8])],
) -> Option<Context> {
    let mut bytes = world.kernel.record(event, &Values { numbers, texts })?;
    context::set_common(&mut bytes, tid);
    Some(Context { bytes, args: 0 })
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(super) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Says what cannot be seen of a program.
fn check_image(tid: i32, watcher: &mut dyn Watcher) {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let Ok(mut file) = std::fs::File::open(format!("/proc/{tid}/exe")) else { return };
    let name = || {
        let path = std::fs::read_link(format!("/proc/{tid}/exe"));
        path.map_or_else(|_| "a program".into(), |path| path.display().to_string())
    };
    let mut head = [0; 5];
    const ELF32: &[u8] = b"\x7fELF\x01";
    if file.read_exact(&mut head).is_ok() && head == ELF32 {
        watcher.note(&format!("{}: a 32-bit program: its system calls are not seen", name()));
    }
    const SET_ID: u32 = 0o6000;
    let root = rustix::process::geteuid().is_root();
    if !root && file.metadata().is_ok_and(|meta| meta.permissions().mode() & SET_ID != 0) {
        watcher.note(&format!(
            "{}: a set-user-ID program, which runs without its rights while it is traced",
            name()
        ));
    }
}
