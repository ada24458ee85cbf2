//! Externs of section `.ksyms`: functions and variables of the kernel.

use btf::{Btf, Kind, TypeId, essential_name};

use crate::assemble::assemble;
use crate::core::{self, Steps};
use crate::error::{LoadError, Missing};
use crate::spec::{Extern, ExternKind, Spec};

/// Modules that one object can call into: the number has to fit in an instruction's offset.
const MAX_MODULES: usize = i16::MAX as usize;

impl Spec {
    /// Resolves kernel symbols: typed ones by BTF, the kernel's first, then its modules' (split),
    /// untyped ones by address. Weak ones may stay unresolved: variables read as address 0, calls
    /// become a call of helper 2002000000 and up, which the verifier refuses if it is reached.
    pub fn resolve_ksyms(
        &mut self,
        kernel: &Btf,
        modules: &[&Btf],
        kallsyms: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<(), LoadError> {
        let Some(local) = self.btf.clone() else { return Ok(()) };
        if modules.len() > MAX_MODULES {
            return Err(LoadError::Limit { what: "modules".into(), limit: MAX_MODULES as u64 });
        }
        let mut lookup = Lookup { local: &local, kernel, modules, steps: Steps::new() };
        for ext in &mut self.externs {
            let ExternKind::Ksym { type_id, .. } = ext.kind else { continue };
            ext.resolved = if type_id.is_void() {
                resolve_address(ext, kallsyms)
            } else {
                lookup.resolve(ext, type_id)?
            };
            if !ext.resolved && !ext.weak {
                return Err(LoadError::unresolved(&ext.name, missing(&local, ext, type_id)));
            }
        }
        assemble(self)
    }
}

fn missing(local: &Btf, ext: &Extern, type_id: TypeId) -> Missing {
    match local.kind(ext.btf_id) {
        _ if type_id.is_void() => Missing::Address,
        Some(Kind::Func) => Missing::Function,
        _ => Missing::Variable,
    }
}

fn resolve_address(ext: &mut Extern, kallsyms: &dyn Fn(&str) -> Option<u64>) -> bool {
    let found = kallsyms(&ext.name);
    if let ExternKind::Ksym { address, .. } = &mut ext.kind {
        *address = found.unwrap_or(0);
    }
    found.is_some()
}

struct Lookup<'b> {
    local: &'b Btf,
    kernel: &'b Btf,
    modules: &'b [&'b Btf],
    steps: Steps,
}

impl<'b> Lookup<'b> {
    fn resolve(&mut self, ext: &mut Extern, local_type: TypeId) -> Result<bool, LoadError> {
        let is_func = self.local.kind(ext.btf_id) == Some(Kind::Func);
        let (name, kind) = match is_func {
            true => (essential_name(&ext.name), Kind::Func),
            false => (ext.name.as_str(), Kind::Var),
        };
        let Some((number, btf, id)) = self.find(name, kind) else { return Ok(false) };
        let theirs = btf.ty(id).map_or(TypeId::VOID, |ty| TypeId(ty.size_or_type));
        let theirs = if is_func { Ok(theirs) } else { btf.resolve(theirs) };
        let bad = |message: String| LoadError::external(&ext.name, message);
        let theirs = theirs.map_err(|error| bad(error.to_string()))?;
        if !core::compatible(self.local, local_type, btf, theirs, &mut self.steps).map_err(bad)? {
            if is_func && ext.weak {
                return Ok(false);
            }
            return Err(bad(format!(
                "type [{}] is incompatible with the kernel's [{}]",
                local_type.0, theirs.0
            )));
        }
        if let ExternKind::Ksym { kernel_btf_id, module, .. } = &mut ext.kind {
            (*kernel_btf_id, *module) = (id.0, number);
        }
        Ok(true)
    }

    /// The BTF that has the symbol, its number (0: the kernel's) and the symbol's id.
    fn find(&self, name: &str, kind: Kind) -> Option<(u32, &'b Btf, TypeId)> {
        if let Some(id) = self.kernel.find_by_name(name, kind) {
            return Some((0, self.kernel, id));
        }
        self.modules.iter().zip(1..).find_map(|(module, number)| {
            let id = module.find_by_name(name, kind)?;
            Some((number, *module, id))
        })
    }
}
