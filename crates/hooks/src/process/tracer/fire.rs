//! Running the programs of one event.

use runtime::Event;

use super::Attach;
use crate::process::context::Context;
use crate::process::here::{Here, World};
use crate::process::point::Form;
use crate::process::sys::ptrace::Regs;
use crate::process::thread::Thread;

/// Runs programs on one event; what `bpf_override_return` asked for.
pub(super) fn fire(
    programs: &mut [Attach],
    ids: &[usize],
    world: &World,
    tid: i32,
    regs: &Regs,
    func_ip: u64,
    context: &dyn Fn(Form, &Thread, &World) -> Option<Context>,
) -> Option<u64> {
    if ids.is_empty() {
        return None;
    }
    let thread = world.threads.get(&tid)?;
    let here = Here::new(world, thread, regs);
    for &index in ids {
        let program = &mut programs[index];
        let Some(context) = context(program.place.form, thread, world) else { continue };
        let event = Event {
            process: &here,
            pid: tid as u32,
            tgid: thread.tgid as u32,
            cookie: program.cookie,
            func_ip,
            args: context.args,
        };
        // A run that was stopped has had its effects so far; there is nobody to answer to.
        let _ = program.runner.run_event(&context.bytes, &event);
    }
    here.result.get()
}
