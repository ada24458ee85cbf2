//! `ring3 disasm`.

use std::fmt::Write;

use ring3::Object;

use crate::failure::Failure;
use crate::plan::DisasmPlan;

/// The text of all programs, or of the one that is named.
pub(crate) fn disasm(plan: &DisasmPlan) -> Result<String, Failure> {
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
