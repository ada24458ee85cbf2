//! Test runs of programs on functions: Linux's own functions for it are called, with what is
//! attached to them.
//!
//! The functions are `bpf_fentry_test1` to `10` and `bpf_modify_return_test` and `2`. Any program on
//! a function starts the run; those that are attached to the functions see it.

use std::sync::Arc;

use btf::{Btf, Kind};
use maps::raw::Slab;
use uapi::{AttachType, Errno};

use super::trapped;
use crate::core::Core;
use crate::door::{TestRun, TestRunOut};
use crate::event::{Event, Process};
use crate::hook::{Place, Target};
use crate::prog::Prog;
use crate::runner::Runner;
use crate::task::Task;

/// The object of the kernel's own types.
const KERNEL: u32 = 1;

/// A function of the test: its arguments, and what it returns.
struct Function {
    name: &'static str,
    args: &'static [u64],
    /// An argument that is the address of a word of zeroes instead.
    pointer: Option<usize>,
    result: u64,
}

const fn function(name: &'static str, args: &'static [u64], result: u64) -> Function {
    Function { name, args, pointer: None, result }
}

/// Called for programs at the entry and the exit of functions.
const FENTRY: &[Function] = &[
    function("bpf_fentry_test1", &[1], 2),
    function("bpf_fentry_test2", &[2, 3], 5),
    function("bpf_fentry_test3", &[4, 5, 6], 15),
    function("bpf_fentry_test4", &[7, 8, 9, 10], 34),
    function("bpf_fentry_test5", &[11, 12, 13, 14, 15], 65),
    function("bpf_fentry_test6", &[16, 17, 18, 19, 20, 21], 111),
    function("bpf_fentry_test7", &[0], 0),
    Function { pointer: Some(0), ..function("bpf_fentry_test8", &[0], 0) },
    Function { pointer: Some(0), ..function("bpf_fentry_test9", &[0], 0) },
    function("bpf_fentry_test10", &[0], 0),
];

/// Called for programs that change results. Both add one to the number that their second argument
/// points to, which was 2.
const MODIFY: &[Function] = &[
    Function { pointer: Some(1), ..function("bpf_modify_return_test", &[1, 0], 4) },
    Function {
        pointer: Some(1),
        ..function("bpf_modify_return_test2", &[1, 0, 3, 4, 5, 6, 7], 29)
    },
];
const BEFORE: u32 = 2;

pub(super) fn run(core: &Arc<Core>, prog: &Prog, req: &TestRun) -> Result<TestRunOut, Errno> {
    if req.flags != 0 || req.cpu != 0 || req.batch_size != 0 {
        return Err(Errno::EINVAL);
    }
    let kernel = core.config.kernel_btf.as_deref().ok_or(Errno::EFAULT)?;
    let mut out = TestRunOut::default();
    match AttachType::from_raw(prog.attach_type) {
        Some(AttachType::TraceFentry | AttachType::TraceFexit) => {
            for function in FENTRY {
                let (result, _) = call(core, kernel, function)?;
                if result != function.result {
                    return Err(Errno::EFAULT);
                }
            }
        }
        Some(AttachType::ModifyReturn) => {
            let (mut sum, mut ran) = (0_u16, 0_u32);
            for function in MODIFY {
                let (result, called) = call(core, kernel, function)?;
                sum = sum.wrapping_add(result as u16);
                ran += u32::from(called);
            }
            out.retval = ran << 16 | u32::from(sum);
        }
        _ => return Err(Errno::EFAULT),
    }
    Ok(out)
}

/// Calls a function as a program's trampoline does: what it returned, and whether it ran itself.
fn call(core: &Arc<Core>, kernel: &Btf, function: &Function) -> Result<(u64, bool), Errno> {
    let Some(id) = kernel.find_by_name(function.name, Kind::Func) else {
        return Ok((function.result, true));
    };
    let word = Slab::new(8)?;
    let mut args = function.args.to_vec();
    if let Some(at) = function.pointer {
        args[at] = word.addr(0);
    }
    let number = if function.args.len() > 1 && function.pointer.is_some() { BEFORE } else { 0 };
    word.write(0, maps::View::from(u64::from(number).to_ne_bytes().as_slice()));
    let target = Target::Function(KERNEL, id.0);
    let at = |attach: AttachType, result: u64| {
        on(core, &Place { attach_type: attach.raw(), target: target.clone() }, &args, result, &word)
    };
    at(AttachType::TraceFentry, 0)?;
    let changed = at(AttachType::ModifyReturn, 0)?;
    let result = if changed == 0 { function.result } else { changed };
    at(AttachType::TraceFexit, result)?;
    Ok((result, changed == 0))
}

/// Runs the programs of a place, up to the first that returns something: that.
fn on(
    core: &Arc<Core>,
    place: &Place,
    args: &[u64],
    result: u64,
    word: &Slab,
) -> Result<u64, Errno> {
    let entries = core.hooks.look().get(place).map(|list| list.entries.clone());
    let words: Vec<u8> = args.iter().chain([&result]).flat_map(|w| w.to_ne_bytes()).collect();
    for entry in entries.unwrap_or_default() {
        let here = Here { task: Task::current(), word };
        let (pid, tgid) = (here.task.pid, here.task.tgid);
        let count = args.len() as u64;
        let event =
            Event { process: &here, pid, tgid, cookie: entry.cookie, func_ip: 0, args: count };
        let mut runner = Runner::new(core.clone(), entry.prog);
        let ret = runner.run_event(&words, &event).map_err(|t| trapped(&t))?;
        if place.attach_type == AttachType::ModifyReturn.raw() && ret as u32 != 0 {
            return Ok(i64::from(ret as i32) as u64);
        }
    }
    Ok(0)
}

/// This process, and the word that arguments point to.
struct Here<'w> {
    task: Task,
    word: &'w Slab,
}

impl Process for Here<'_> {
    fn comm(&self) -> [u8; 16] {
        let mut comm = [0; 16];
        comm.iter_mut().zip(self.task.comm.bytes().take(15)).for_each(|(to, from)| *to = from);
        comm
    }

    fn uid_gid(&self) -> (u32, u32) {
        (self.task.uid, self.task.gid)
    }

    fn read(&self, _: u64, _: &mut [u8]) -> usize {
        0
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EFAULT)
    }

    fn kernel(&self, addr: u64) -> Option<(u64, u64)> {
        let (start, end) = (self.word.addr(0), self.word.addr(self.word.len()));
        (start..end).contains(&addr).then_some((start, end))
    }

    fn task(&self) -> u64 {
        0
    }

    fn regs(&self) -> u64 {
        0
    }

    fn stack(&self, _: &mut [u64]) -> usize {
        0
    }

    fn signal(&self, _: u32, _: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn override_return(&self, _: u64) {}
}
