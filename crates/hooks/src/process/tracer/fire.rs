//! Running the programs of one event.

use runtime::Event;

use super::Attach;
use crate::process::context::{self, Context};
use crate::process::here::{Here, World};
use crate::process::point::Form;
use crate::process::session::Sessions;
use crate::process::sys::ptrace::Regs;
use crate::process::thread::Thread;
use crate::process::uprobe::Hit;

/// Where an event happened.
#[derive(Clone, Copy)]
pub(super) struct At<'r> {
    pub(super) tid: i32,
    pub(super) regs: &'r Regs,
    /// What `bpf_get_func_ip` tells.
    pub(super) func_ip: u64,
}

impl<'r> At<'r> {
    /// A moment that is at no function.
    pub(super) fn moment(tid: i32, regs: &'r Regs) -> At<'r> {
        At { tid, regs, func_ip: 0 }
    }
}

/// Which end of a call it is, for programs that are at both.
pub(super) enum End<'s> {
    /// Its beginning: what they keep for the other.
    Begins(&'s mut Sessions),
    /// Its end: what they kept.
    Ends(&'s Sessions),
    /// Neither.
    None,
}

/// What makes an event's context in a form.
pub(super) type MakeContext<'c> = dyn Fn(Form, &Thread, &World) -> Option<Context> + 'c;

/// Runs programs on one event; what `bpf_override_return` asked for.
pub(super) fn fire(
    programs: &mut [Attach],
    ids: &[usize],
    world: &World,
    at: At<'_>,
    mut end: End<'_>,
    context: &MakeContext<'_>,
) -> Option<u64> {
    if ids.is_empty() {
        return None;
    }
    let thread = world.threads.get(&at.tid)?;
    let here = Here::new(world, thread, at.regs);
    for &index in ids {
        let program = &mut programs[index];
        let Some(context) = context(program.place.form, thread, world) else { continue };
        let told = (program.cookie, at.func_ip);
        match &mut end {
            End::Begins(sessions) if program.is_session() => {
                here.begin_session(None);
                let returned = run(program, &here, &context, told);
                sessions.begun(index, returned, here.end_session());
            }
            End::Ends(sessions) if program.is_session() => {
                let Some(word) = sessions.word(index) else { continue };
                here.begin_session(Some(word));
                run(program, &here, &context, told);
            }
            _ => {
                run(program, &here, &context, told);
            }
        }
    }
    here.result.get()
}

/// Runs a program; what it returned.
fn run(program: &mut Attach, here: &Here<'_>, context: &Context, at: (u64, u64)) -> u64 {
    let (cookie, func_ip) = at;
    let event = Event {
        process: here,
        pid: here.thread.tid as u32,
        tgid: here.thread.tgid as u32,
        cookie,
        func_ip,
        args: context.args,
    };
    // A run that was stopped has had its effects so far; there is nobody to answer to.
    program.runner.run_event(&context.bytes, &event).unwrap_or(0)
}

/// Runs the programs of a breakpoint; what sessions keep for the other end.
pub(super) fn fire_hit(
    programs: &mut [Attach],
    hit: &Hit,
    world: &World,
    tid: i32,
    regs: &Regs,
) -> Sessions {
    let mut begun = Sessions::default();
    let Some(thread) = world.threads.get(&tid) else { return begun };
    let context = context::user(regs);
    let here = Here::new(world, thread, regs);
    for one in &*hit.programs {
        let program = &mut programs[one.program];
        let at = (one.cookie.unwrap_or(program.cookie), hit.func_ip);
        if !one.session {
            run(program, &here, &context, at);
            continue;
        }
        let kept = hit.sessions.as_ref().map(|sessions| sessions.word(one.program));
        if kept == Some(None) {
            continue;
        }
        here.begin_session(kept.flatten());
        let returned = run(program, &here, &context, at);
        let word = here.end_session();
        if hit.sessions.is_none() {
            begun.begun(one.program, returned, word);
        }
    }
    begun
}

/// Runs a program on a sample, told the nanoseconds between two and those on a CPU so far.
pub(super) fn fire_sample(
    program: &mut Attach,
    world: &World,
    tid: i32,
    regs: &Regs,
    (period, time): (u64, u64),
) {
    let Some(thread) = world.threads.get(&tid) else { return };
    let here = Here::new(world, thread, regs);
    here.counter.set(Some([time, time, time]));
    let told = (program.cookie, 0);
    run(program, &here, &context::sample(regs, period), told);
}
