//! `ring3 disasm`.

use std::fmt::Write;

use ring3::{Config, Engine, Machine, Object};

use crate::failure::Failure;
use crate::plan::DisasmPlan;

/// The text of all programs, or of the one that is named.
pub(crate) fn disasm(plan: &DisasmPlan) -> Result<String, Failure> {
    if plan.jited {
        return jited(plan);
    }
    let object = Object::open_for(&plan.file, &plan.kernel.open())?;
    let spec = object.spec();
    let one = plan.prog.as_deref().map(|name| object.program(name)).transpose()?;
    let mut out = String::new();
    for program in spec.programs.iter().filter(|p| one.is_none_or(|o| o.name == p.name)) {
        let blank = if out.is_empty() { "" } else { "\n" };
        let place = format!("{blank}{}: section {}", program.name, program.section);
        let slots = program.insns.len();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{place}, {slots} instructions\n");
        out += &ring3::listing(spec, program, plan.style);
    }
    Ok(out)
}

/// The machine code of programs, which are verified and loaded for it.
fn jited(plan: &DisasmPlan) -> Result<String, Failure> {
    let kernel = plan.kernel.open();
    let mut object = Object::open_for(&plan.file, &kernel)?;
    object.resolve(&kernel)?;
    let kernel_btf = if object.needs_kernel_btf() { Some(kernel.types()?) } else { None };
    let config = Config { kernel_btf, engine: Engine::Jit, ..Config::default() };
    let machine = Machine::with(config);
    let mut names: Vec<String> =
        object.spec().programs.iter().map(|program| program.name.clone()).collect();
    if let Some(name) = &plan.prog {
        names = vec![object.program(name)?.name.clone()];
    }
    let mut out = String::new();
    for name in names {
        let loaded = machine.load_only(&object, &name)?;
        let blank = if out.is_empty() { "" } else { "\n" };
        out += blank;
        out += &loaded.program(&name)?.machine_code(plan.opcodes)?;
    }
    Ok(out)
}
