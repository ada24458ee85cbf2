//! Targets of programs that attach by BTF.

use btf::{Btf, Kind};

use crate::error::LoadError;
use crate::spec::{AttachPoint, ProgramSpec, Spec};

impl Spec {
    /// Looks the target of each program that is to be loaded up in the kernel's BTF.
    pub fn resolve_attach(&mut self, kernel: &Btf) -> Result<(), LoadError> {
        let mut loaded = self.programs.iter_mut().filter(|program| program.autoload);
        loaded.try_for_each(|program| program.resolve_attach(kernel))
    }
}

impl ProgramSpec {
    /// Looks the program's target up in the kernel's BTF; one given no target stays without.
    ///
    /// The target of `freplace` is another program's function, which only its loader knows.
    pub fn resolve_attach(&mut self, kernel: &Btf) -> Result<(), LoadError> {
        let (Some(point), Some(target)) = (self.attach_point, &self.attach_target) else {
            return Ok(());
        };
        let (prefix, kind) = match point {
            AttachPoint::Function => ("", Kind::Func),
            AttachPoint::RawTracepoint => ("btf_trace_", Kind::Typedef),
            AttachPoint::Lsm => ("bpf_lsm_", Kind::Func),
            AttachPoint::Iter => ("bpf_iter_", Kind::Func),
            AttachPoint::Program => return Ok(()),
        };
        let name = format!("{prefix}{target}");
        let id = kernel.find_by_name(&name, kind).ok_or_else(|| LoadError::Program {
            program: self.name.clone(),
            section: self.section.clone(),
            insn: 0,
            message: format!("attach target '{name}' is not in the kernel's BTF"),
        })?;
        self.attach_btf_id = id.0;
        Ok(())
    }
}
