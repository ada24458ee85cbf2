//! Programs on the life of a command: attached where their sections say, fired while it runs.

mod records;
mod settings;
mod usdt;

use std::io;
use std::sync::Arc;

pub use hooks::process::syscalls::name as syscall_name;
use hooks::process::{Attach, MakeRunner, Place, Tracer};
pub use hooks::process::{Command, Ended, HookError, Watcher};

use isa::Insn;
use loader::ProgramSpec;
pub use records::{Record, Records};
use usdt::{Specs, with_specs};

use crate::{Error, Kernel, Loaded, Object};

/// Where a program is to be attached instead of where its section says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The program.
    pub program: String,
    /// As a section's name says it: `uprobe//bin/bash:readline`.
    pub section: String,
    /// What `bpf_get_attach_cookie` tells it.
    pub cookie: u64,
}

/// Loaded programs, attached to a command that is not started yet.
pub struct Live<'a> {
    loaded: &'a Loaded,
    tracer: Tracer,
}

/// The places of all programs of `object` that are loaded of themselves; the first program that
/// has none is the error.
pub fn check(object: &Object, elsewhere: &[Elsewhere]) -> Result<(), HookError> {
    let programs = object.spec().programs.iter().filter(|program| program.autoload);
    for program in programs {
        place(&program.name, &program.section, elsewhere)?;
    }
    let unknown = elsewhere.iter().find(|other| object.spec().program(&other.program).is_none());
    match unknown {
        Some(other) => Err(HookError::NoHook {
            program: other.program.clone(),
            section: other.section.clone(),
            why: "there is no program of this name".into(),
        }),
        None => Ok(()),
    }
}

fn place(program: &str, section: &str, elsewhere: &[Elsewhere]) -> Result<(Place, u64), HookError> {
    let other = elsewhere.iter().find(|other| other.program == program);
    let (section, cookie) = other.map_or((section, 0), |other| (&*other.section, other.cookie));
    match Place::parse(section) {
        Ok(place) => Ok((place, cookie)),
        Err(why) => {
            let (program, section) = (program.to_owned(), section.to_owned());
            Err(HookError::NoHook { program, section, why })
        }
    }
}

/// Whether any program that is loaded goes to functions of user programs.
pub fn has_functions(object: &Object, elsewhere: &[Elsewhere]) -> bool {
    let of_user = |section: &str| section.starts_with("uprobe") || section.starts_with("usdt");
    let programs = object.spec().programs.iter().filter(|program| program.autoload);
    programs
        .map(|program| {
            let other = elsewhere.iter().find(|other| other.program == program.name);
            other.map_or(&*program.section, |other| &*other.section)
        })
        .any(of_user)
}

/// Helpers that need more of a process than an event tells, by number: its task, registers,
/// stack, and what acts on it.
const DEEP: [i32; 14] = [27, 35, 58, 67, 109, 117, 141, 158, 175, 173, 183, 184, 185, 191];

const GET_FUNC_IP: i32 = 173;

/// Whether a program calls one of these helpers.
fn calls(program: &ProgramSpec, helpers: &[i32]) -> bool {
    const CALL: u8 = 0x85;
    const HELPER: u8 = 0;
    let calls =
        |insn: &Insn| insn.code == CALL && insn.src().0 == HELPER && helpers.contains(&insn.imm);
    program.insns.iter().any(calls)
}

impl<'a> Live<'a> {
    /// Attaches what was loaded. The kernel's types give programs their `task_struct`; where there
    /// are none, programs see no task.
    pub fn new(
        loaded: &'a Loaded,
        kernel: &Kernel,
        elsewhere: &[Elsewhere],
    ) -> Result<Live<'a>, HookError> {
        // A thread that runs programs takes a CPU of the machine's.
        let two = loaded.runtime().config().cpus > 1;
        let mut programs = Vec::new();
        let mut specs = Specs::default();
        for (program, fd) in loaded.programs() {
            let (place, cookie) = place(&program.name, &program.section, elsewhere)?;
            let name = program.name.clone();
            let runtime = loaded.shared_runtime();
            let make: MakeRunner = Arc::new(move || runtime.runner(fd));
            let runner =
                make().map_err(|errno| HookError::Runner { program: name.clone(), errno })?;
            let plain = two && !calls(program, &DEEP);
            let asks_ip = calls(program, &[GET_FUNC_IP]);
            let place = with_specs(loaded, &name, place, cookie, &mut specs)?;
            programs.push(Attach { name, runner, make, plain, asks_ip, place, cookie });
        }
        let types = kernel.types().ok();
        Ok(Live { loaded, tracer: Tracer::new(programs, types.as_deref())? })
    }

    /// Lets programs run in the command itself where they can; the others, by name, and why they
    /// cannot. Maps must have been made with `shared_maps`.
    pub fn speed_up(&mut self) -> Vec<(String, String)> {
        self.tracer.speed_up()
    }

    /// The records that programs send, to be taken while the command runs.
    pub fn records(&self) -> Result<Records<'a>, Error> {
        Records::new(self.loaded)
    }

    /// Runs the command until it and all that it started have ended.
    pub fn run(
        &mut self,
        command: &Command,
        watcher: &mut dyn Watcher,
    ) -> Result<Ended, HookError> {
        self.tracer.run(command, watcher)
    }
}

/// A watcher that only hands records on.
pub struct Take<'r, F> {
    /// Where they come from.
    pub records: Records<'r>,
    /// What is done with each.
    pub each: F,
}

impl<F: FnMut(Record)> Watcher for Take<'_, F> {
    fn ran(&mut self, _: bool) -> io::Result<bool> {
        let Take { records, each } = self;
        records.take(each);
        Ok(false)
    }

    fn note(&mut self, _: &str) {}
}
