//! CO-RE: instructions adjusted to the types of the kernel they are to run on.
//!
//! Each relocation names a local type and a path in it. Candidates are the target's types of the
//! same name, flavours (`___x`) aside; all that have the path must agree on the answer.

mod access;
mod compat;
mod find;
mod needed;
mod patch;
mod value;

use btf::{Btf, CoreKind, CoreRelo, TypeId, essential_name};
use isa::Insn;
use rustc_hash::FxHashMap;

use self::access::Access;
pub use self::needed::CoreNeeds;
use self::value::Patch;
use crate::assemble::assemble;
use crate::error::LoadError;
use crate::function::CoreRecord;
use crate::spec::Spec;

/// Types and members looked at for one object; bounds the work on hostile BTF.
const MAX_STEPS: u64 = 50_000_000;

/// Steps that may still be taken.
pub(crate) struct Steps(u64);

impl Steps {
    pub(crate) fn new() -> Steps {
        Steps(MAX_STEPS)
    }

    fn take(&mut self) -> Result<(), String> {
        self.0 = self.0.checked_sub(1).ok_or("types are too entangled to compare")?;
        Ok(())
    }
}

impl Spec {
    /// Applies the CO-RE relocations against the kernel's BTF, then that of its modules (split),
    /// which are looked at only for names that the kernel lacks.
    ///
    /// What the target lacks becomes a call of helper 195896080, which the verifier refuses if it
    /// is reached; see [`crate::ProgramSpec::unresolved`]. Programs that are not loaded by
    /// default do not fail it.
    pub fn relocate_core(&mut self, targets: &[&Btf]) -> Result<(), LoadError> {
        let Some(local) = self.btf.clone() else { return Ok(()) };
        if self.functions.core.is_empty() {
            return Ok(());
        }
        self.functions.set_autoload(&self.programs);
        let functions = &mut self.functions;
        let mut session = Session::new(&local, targets);
        for function in &mut functions.all {
            function.patched.clone_from(&function.insns);
            function.unresolved.clear();
        }
        for record in &functions.core {
            let function = &mut functions.all[record.function];
            match session.relocate(record, &mut function.patched) {
                Ok(None) => {}
                Ok(Some(text)) => function.unresolved.push((record.insn, text.into())),
                Err(_) if !function.autoload => {}
                Err(message) => {
                    return Err(LoadError::Core {
                        program: function.name.to_string(),
                        index: record.number,
                        section: function.section.to_string(),
                        offset: record.relo.insn_off.into(),
                        message,
                    });
                }
            }
        }
        assemble(self)
    }

    /// What a relocation of one of the programs asks, as libbpf prints it:
    /// `<byte_off> [7] struct task_struct.pid (0:64 @ offset 2456)`.
    pub fn describe_core(&self, relo: &CoreRelo) -> Option<String> {
        let btf = self.btf.as_deref()?;
        let access = Access::parse(btf, relo.kind, relo.type_id, relo.access(btf)?);
        access.ok().map(|access| access.describe())
    }
}

/// Whether two types have the same kind in depth.
pub(crate) fn compatible(
    local: &Btf,
    local_id: TypeId,
    target: &Btf,
    target_id: TypeId,
    steps: &mut Steps,
) -> Result<bool, String> {
    compat::types_compatible(local, local_id, target, target_id, steps)
}

/// A type that a local one may stand for.
#[derive(Clone, Copy)]
struct Candidate<'t> {
    btf: &'t Btf,
    id: TypeId,
}

struct Session<'l, 't> {
    local: &'l Btf,
    targets: &'t [&'t Btf],
    /// By local type; those that one relocation rules out are not asked again.
    candidates: FxHashMap<TypeId, Vec<Candidate<'t>>>,
    /// What was answered, by kind, local type and path (offset of its text). Ruling out more
    /// candidates later changes no answer: those left gave the same one.
    answers: FxHashMap<(CoreKind, TypeId, u32), (Access<'l>, Patch)>,
    steps: Steps,
}

impl<'l, 't> Session<'l, 't> {
    fn new(local: &'l Btf, targets: &'t [&'t Btf]) -> Session<'l, 't> {
        Session {
            local,
            targets,
            candidates: FxHashMap::default(),
            answers: FxHashMap::default(),
            steps: Steps::new(),
        }
    }

    /// Patches one instruction; gives the text of a relocation that made it unusable.
    fn relocate(
        &mut self,
        record: &CoreRecord,
        insns: &mut [Insn],
    ) -> Result<Option<String>, String> {
        let relo = &record.relo;
        let question = (relo.kind, relo.type_id, relo.access_str_off);
        if !self.answers.contains_key(&question) {
            let answer = self.answer(relo)?;
            self.answers.insert(question, answer);
        }
        let (local, patch) = &self.answers[&question];
        let applied = value_to(insns, record.insn, patch, local)?;
        Ok((!applied).then(|| local.describe()))
    }

    fn answer(&mut self, relo: &CoreRelo) -> Result<(Access<'l>, Patch), String> {
        let text = relo.access(self.local).ok_or("access path is not a string")?;
        let local = Access::parse(self.local, relo.kind, relo.type_id, text)?;
        let patch = self.resolve(&local)?;
        Ok((local, patch))
    }

    fn resolve(&mut self, local: &Access<'_>) -> Result<Patch, String> {
        let ty = local.btf.ty(local.root);
        let ty = ty.ok_or_else(|| format!("type [{}] does not exist", local.root.0))?;
        if local.kind == CoreKind::TypeIdLocal {
            let id = u64::from(local.root.0);
            return Ok(Patch { old: id, new: id, ..Patch::default() });
        }
        if ty.name.is_empty() {
            return Err(format!("{}: anonymous types cannot be relocated", local.describe()));
        }
        let candidates = self.candidates.remove(&local.root);
        let candidates = candidates.unwrap_or_else(|| self.search(&ty));
        let (fitting, decision) = self.choose(local, &candidates)?;
        let kept = if fitting.is_empty() { candidates } else { fitting };
        self.candidates.insert(local.root, kept);
        match decision {
            Some(patch) => Ok(patch),
            None => value::patch(local, None),
        }
    }
}

impl<'t> Session<'_, 't> {
    /// The candidates that have the path, and what they agree on.
    fn choose(
        &mut self,
        local: &Access<'_>,
        candidates: &[Candidate<'t>],
    ) -> Result<(Vec<Candidate<'t>>, Option<Patch>), String> {
        let mut fitting = Vec::new();
        let mut decision: Option<(u32, Patch)> = None;
        for candidate in candidates {
            self.steps.take()?;
            let found = find::find(local, candidate.btf, candidate.id, &mut self.steps)?;
            let Some(target) = found else { continue };
            let patch = value::patch(local, Some(&target))?;
            match &decision {
                None => decision = Some((target.bit_offset, patch)),
                Some((offset, _)) if *offset != target.bit_offset => {
                    let text = local.describe();
                    let offsets = (target.bit_offset, *offset);
                    return Err(format!(
                        "{text}: field offset ambiguity: {} != {}",
                        offsets.0, offsets.1
                    ));
                }
                Some((_, first)) if first.poison != patch.poison || first.new != patch.new => {
                    return Err(format!(
                        "{}: relocation decision ambiguity: {} {} != {} {}",
                        local.describe(),
                        outcome(&patch),
                        patch.new,
                        outcome(first),
                        first.new
                    ));
                }
                Some(_) => {}
            }
            fitting.push(*candidate);
        }
        Ok((fitting, decision.map(|(_, patch)| patch)))
    }

    fn search(&self, local: &btf::Type<'_>) -> Vec<Candidate<'t>> {
        let essential = essential_name(local.name);
        let of = |btf: &'t Btf, first: TypeId| {
            let ids = btf.find_all_by_essential_name(essential).into_iter();
            let fits = move |id: &TypeId| {
                *id >= first && compat::same_kind(btf.kind(*id), Some(local.kind))
            };
            ids.filter(fits).map(move |id| Candidate { btf, id })
        };
        let Some((kernel, modules)) = self.targets.split_first() else { return Vec::new() };
        let found: Vec<_> = of(kernel, TypeId(1)).collect();
        if !found.is_empty() {
            return found;
        }
        modules.iter().flat_map(|module| of(module, module.first_id())).collect()
    }
}

fn outcome(patch: &Patch) -> &'static str {
    if patch.poison { "failure" } else { "success" }
}

fn value_to(
    insns: &mut [Insn],
    at: usize,
    patch: &Patch,
    local: &Access<'_>,
) -> Result<bool, String> {
    patch::apply(insns, at, patch).map_err(|message| format!("{}: {message}", local.describe()))
}
