//! The whole way from slots to sealed code.

use isa::{Callee, Insn, Op};

use crate::{
    Env, JitError, Line, Options,
    code_memory::CodeMemory,
    flow::Flow,
    generate::{self, Unit},
    ins::{self, Ins},
    layout::{Code, Guard, Pieces},
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
    /// Offset of the stub through which the code is entered.
    entry: u32,
}

/// What faults and dumps look up.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) lines: Vec<Line>,
    pub(crate) guards: Vec<Guard>,
    /// Offset of the code that ends a run.
    pub(crate) stop: u32,
    /// Bytes of code, before the addresses it calls.
    pub(crate) text: u32,
}

/// Machine instructions before they have an address.
struct Compiled {
    code: Code,
    functions: Vec<u32>,
    entry: u32,
}

impl Program {
    /// Compiles and seals.
    pub fn new(input: Input<'_>, env: &dyn Env, options: &Options) -> Result<Program, JitError> {
        let Compiled { code, functions, entry } = compile(input, env, options)?;
        let tables = Tables {
            lines: code.lines,
            guards: code.guards,
            stop: code.stop,
            text: code.text,
        };
        let tables = Box::new(tables);
        let memory = CodeMemory::seal(&code.bytes, &tables)?;
        Ok(Program { memory, tables, functions, entry })
    }

    /// The code, without the addresses that follow it.
    pub fn code(&self) -> &[u8] {
        &self.memory.bytes()[..self.tables.text as usize]
    }

    /// Where the code is in memory.
    pub fn base(&self) -> u64 {
        self.memory.base()
    }

    /// The stub through which the code is entered.
    pub(crate) fn stub(&self) -> u64 {
        self.base() + u64::from(self.entry)
    }

    /// Which code belongs to which slot, by ascending offset.
    pub fn lines(&self) -> &[Line] {
        &self.tables.lines
    }

    /// Offsets of functions in the code, in the order of the input's starts.
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

fn compile(input: Input<'_>, env: &dyn Env, options: &Options) -> Result<Compiled, JitError> {
    if !cfg!(target_arch = "x86_64") {
        return Err(JitError::Machine);
    }
    let insns = input.insns;
    if insns.is_empty() || insns.len() > (i32::MAX / 32) as usize {
        return Err(JitError::Length(insns.len()));
    }
    let mut code = ins::decode(insns, env)?;
    let mut flow = Flow::new(&code, input.starts)?;
    flow.check_ends()?;
    let moved: Vec<usize> = flow.funcs.iter().map(|f| slots::promote(&mut code, f)).collect();
    flow.liveness(&code);
    let needs_context = needs_context(&code, &flow, options);
    let unit =
        Unit { code: &code, flow: &flow, env, options, needs_context: &needs_context };
    let labels = flow.blocks.len() as u32 + flow.funcs.len() as u32;
    let mut out = Pieces::new(labels, insns.len());
    for f in 0..flow.funcs.len() {
        generate::function(unit, f, moved[f], &mut out)?;
    }
    let tail_calls = code.iter().any(|i| matches!(i, Ins::TailCall));
    let entry = out.entry_stub(tail_calls);
    let code = out.finish()?;
    let first = flow.blocks.len();
    let functions = code.labels[first..first + flow.funcs.len()].to_vec();
    let entry = code.labels[entry as usize];
    Ok(Compiled { code, functions, entry })
}

/// Which functions read the run's context, or call one that does.
fn needs_context(code: &[Ins], flow: &Flow, options: &Options) -> Vec<bool> {
    let own = |func: &crate::flow::Func| {
        let slots = &code[func.start as usize..func.end as usize];
        let outside = slots.iter().any(|i| matches!(i, Ins::Native(_) | Ins::TailCall));
        let blocks = &flow.blocks[func.first_block as usize..func.last_block as usize];
        outside || options.interruptible && blocks.iter().any(|b| b.is_loop)
    };
    let mut needs: Vec<bool> = flow.funcs.iter().map(own).collect();
    if !needs.contains(&true) {
        return needs;
    }
    // Callers of what is marked, until nothing changes; calls are few levels deep.
    let calls = calls(code, flow);
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

/// Pairs of caller and callee.
fn calls(code: &[Ins], flow: &Flow) -> Vec<(usize, usize)> {
    let mut calls = Vec::new();
    for (f, func) in flow.funcs.iter().enumerate() {
        for pc in func.start..func.end {
            let Ins::Op { op: Op::Call(Callee::Subprog(rel)), .. } = code[pc as usize] else {
                continue;
            };
            calls.extend(flow.func_at(i64::from(pc) + 1 + i64::from(rel)).map(|g| (f, g)));
        }
    }
    calls.sort_unstable();
    calls.dedup();
    calls
}
