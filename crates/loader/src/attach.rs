//! Targets of programs that attach by BTF.

use btf::{Btf, Kind, TypeId};

use crate::error::LoadError;
use crate::spec::{AttachPoint, ProgramSpec, Spec};

impl Spec {
    /// Looks each program's target up in the kernel's BTF; those given no target stay without.
    ///
    /// The target of `freplace` is another program's function, which only its loader knows.
    pub fn resolve_attach(&mut self, kernel: &Btf) -> Result<(), LoadError> {
        for program in self.programs.iter_mut().filter(|program| program.autoload) {
            let (Some(point), Some(target)) = (program.attach_point, &program.attach_target) else {
                continue;
            };
            match find(kernel, point, target) {
                Found::Type(id) => program.attach_btf_id = id.0,
                Found::Elsewhere => {}
                Found::Nowhere(name) => return Err(missing(program, &name)),
            }
        }
        Ok(())
    }
}

enum Found {
    Type(TypeId),
    /// Not the kernel's to say.
    Elsewhere,
    Nowhere(String),
}

fn find(kernel: &Btf, point: AttachPoint, target: &str) -> Found {
    let (prefix, kind) = match point {
        AttachPoint::Function => ("", Kind::Func),
        AttachPoint::RawTracepoint => ("btf_trace_", Kind::Typedef),
        AttachPoint::Lsm => ("bpf_lsm_", Kind::Func),
        AttachPoint::Iter => ("bpf_iter_", Kind::Func),
        AttachPoint::Program => return Found::Elsewhere,
    };
    let name = format!("{prefix}{target}");
    kernel.find_by_name(&name, kind).map_or(Found::Nowhere(name), Found::Type)
}

fn missing(program: &ProgramSpec, name: &str) -> LoadError {
    LoadError::Program {
        program: program.name.clone(),
        section: program.section.clone(),
        insn: 0,
        message: format!("attach target '{name}' is not in the kernel's BTF"),
    }
}
