//! `ring3 compile`.

use std::fs;

use crate::failure::Failure;
use crate::plan::CompilePlan;

/// Compiles and writes the object; clang's warnings.
pub(crate) fn compile(plan: &CompilePlan) -> Result<String, Failure> {
    let compiled = ring3::compile(&plan.source, &plan.kernel.open()).map_err(ring3::Error::from)?;
    fs::write(&plan.object, compiled.object)
        .map_err(|error| Failure::unusable(format!("{}: {error}", plan.object.display())))?;
    Ok(compiled.warnings)
}
