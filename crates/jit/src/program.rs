//! The whole way from slots to sealed code.

use isa::Insn;

use crate::{
    Env, JitError, Line, Options, choice,
    code_memory::CodeMemory,
    flow::Flow,
    generate::{self, Unit},
    idiom, inline,
    ins::{self, Ins},
    layout::{Finished, Guard, Pieces, Stubs},
    slots,
};

/// What to compile.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Translated slots.
    pub insns: &'a [Insn],
    /// Slots where functions start, ascending; the first is 0, the main program.
    pub starts: &'a [u32],
}

/// A compiled program; dropping it unmaps the code.
#[derive(Debug)]
pub struct Program {
    pub(crate) memory: CodeMemory,
    pub(crate) tables: Box<Tables>,
    /// Offsets of functions, in the order of the input's starts.
    functions: Vec<u32>,
    /// Nothing in it can fault or be stopped.
    pub(crate) harmless: bool,
    /// The stub that calls the main program.
    pub(crate) enter_main: u64,
    /// The stub that calls what the run's context names.
    pub(crate) enter: u64,
}

/// What faults and dumps look up.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) lines: Vec<Line>,
    pub(crate) guards: Vec<Guard>,
    /// Offset of the code that ends a run.
    pub(crate) stop: u32,
    /// Bytes of functions, before the stubs.
    pub(crate) body: u32,
    /// Bytes of code, before the addresses it calls.
    pub(crate) text: u32,
}

/// Machine instructions before they have an address.
struct Compiled {
    code: Finished,
    functions: Vec<u32>,
    stubs: [u32; 3],
    harmless: bool,
}

impl Program {
    /// Compiles and seals.
    pub fn new(input: Input<'_>, env: &dyn Env, options: &Options) -> Result<Program, JitError> {
        let Compiled { code, functions, stubs, harmless } = compile(input, env, options)?;
        let tables = Tables {
            lines: code.lines,
            guards: code.guards,
            stop: code.stop,
            body: stubs[2],
            text: code.text,
        };
        let tables = Box::new(tables);
        let memory = CodeMemory::seal(&code.bytes, &tables)?;
        let [mut enter_main, enter, _] = stubs.map(|at| memory.base() + u64::from(at));
        if harmless {
            enter_main = memory.base() + u64::from(functions[0]);
        }
        Ok(Program { memory, tables, functions, harmless, enter_main, enter })
    }

    /// The code, without the addresses that follow it.
    pub fn code(&self) -> &[u8] {
        &self.memory.bytes()[..self.tables.text as usize]
    }

    /// How much of the code is the program's functions; the ways in and out follow.
    pub fn body_len(&self) -> usize {
        self.tables.body as usize
    }

    /// Where the code is in memory.
    pub fn base(&self) -> u64 {
        self.memory.base()
    }

    /// Which code belongs to which slot, by ascending offset.
    pub fn lines(&self) -> &[Line] {
        &self.tables.lines
    }

    /// Offsets of functions in the code, in the order of the input's starts. The main program's
    /// body is at 0; where it uses preserved registers, this is a way in that saves them.
    pub fn functions(&self) -> &[u32] {
        &self.functions
    }

    /// Address of the main program's function, for tail calls into it.
    pub fn address(&self) -> u64 {
        self.function_address(0).unwrap_or(self.base())
    }

    /// Address of function `index`.
    pub fn function_address(&self, index: usize) -> Option<u64> {
        self.functions.get(index).map(|&at| self.base() + u64::from(at))
    }
}

/// Only the code: relocatable neither in memory nor callable, for dumps and measurements.
pub fn machine_code(
    input: Input<'_>,
    env: &dyn Env,
    options: &Options,
) -> Result<Vec<u8>, JitError> {
    compile(input, env, options).map(|compiled| compiled.code.bytes)
}

/// Code that runs wherever it is put, in whatever process: it refers to nothing but what its
/// environment named by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The code, then the addresses that it calls; it starts at a multiple of 64.
    pub bytes: Vec<u8>,
    /// Offset of the main program, a C function of five arguments and the run's context, of which it
    /// reads [`crate::RunContext::cpu`] only, unless helpers may stop it.
    pub entry: u32,
    /// It calls something outside itself.
    pub calls: bool,
    /// It has loads whose faults somebody must mend.
    pub guarded: bool,
}

/// Compiles for another process.
pub fn foreign(input: Input<'_>, env: &dyn Env, options: &Options) -> Result<Foreign, JitError> {
    let Compiled { code, functions, .. } = compile(input, env, options)?;
    let entry = functions.first().copied().unwrap_or(0);
    let calls = code.bytes.len() > code.text.next_multiple_of(8) as usize;
    Ok(Foreign { bytes: code.bytes, entry, calls, guarded: !code.guards.is_empty() })
}

fn compile(input: Input<'_>, env: &dyn Env, options: &Options) -> Result<Compiled, JitError> {
    if !cfg!(target_arch = "x86_64") {
        return Err(JitError::Machine);
    }
    let insns = input.insns;
    if insns.is_empty() || insns.len() > (i32::MAX / 32) as usize {
        return Err(JitError::Length(insns.len()));
    }
    let mut code = ins::decode(insns, env)?;
    let mut flow = Flow::new(&code.slots, input.starts)?;
    flow.check_ends()?;
    let moved: Vec<usize> = flow.funcs.iter().map(|f| slots::promote(&mut code, f)).collect();
    flow.liveness(&mut code);
    choice::rewrite(&mut code, &flow);
    if options.bmi {
        idiom::rewrite(&mut code, &flow);
    }
    inline::rewrite(&mut code, &flow);
    let needs_context = needs_context(&code.slots, &flow, options);
    let unit = Unit { code: &code, flow: &flow, env, options, needs_context: &needs_context };
    let labels = flow.blocks.len() as u32 + flow.funcs.len() as u32;
    let mut out = Pieces::new(labels, insns.len());
    for (f, slots) in moved.into_iter().enumerate() {
        generate::function(unit, f, slots, &mut out)?;
    }
    let harmless = !options.interruptible && code.slots.iter().all(Ins::is_harmless);
    let tail_calls = code.slots.iter().any(|i| matches!(i, Ins::TailCall));
    let main = flow.blocks.len() as u32;
    let Stubs { end, to_main, to_any } = out.entry_stubs(main, tail_calls);
    let code = out.finish()?;
    let first = flow.blocks.len();
    let functions = code.labels[first..first + flow.funcs.len()].to_vec();
    let stubs = [to_main, to_any, end].map(|label| code.labels[label as usize]);
    Ok(Compiled { code, functions, stubs, harmless })
}

/// Which functions read the run's context, or call one that does.
fn needs_context(code: &[Ins], flow: &Flow, options: &Options) -> Vec<bool> {
    let own = |func: &crate::flow::Func| {
        let slots = &code[func.start as usize..func.end as usize];
        let outside =
            slots.iter().any(|i| matches!(i, Ins::Native(_) | Ins::OnMap(..) | Ins::TailCall));
        let blocks = &flow.blocks[func.first_block as usize..func.last_block as usize];
        outside || options.interruptible && blocks.iter().any(|b| b.is_loop)
    };
    let mut needs: Vec<bool> = flow.funcs.iter().map(own).collect();
    if !needs.contains(&true) {
        return needs;
    }
    // Callers of what is marked, until nothing changes; calls are few levels deep.
    let calls = flow.call_pairs();
    loop {
        let mut changed = false;
        for &(caller, callee) in calls.iter().rev() {
            changed |= needs[callee] && !needs[caller];
            needs[caller] |= needs[callee];
        }
        if !changed {
            return needs;
        }
    }
}
