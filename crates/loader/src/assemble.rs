//! Programs put together: own code, then each subprogram at its first call, depth first.

use isa::Insn;
use rustc_hash::FxHashMap;

use crate::error::LoadError;
use crate::function::{Function, Functions, Reloc, Target};
use crate::reloc::{PSEUDO_CALL, PSEUDO_FUNC};
use crate::section::{attach_point, section_kind};
use crate::spec::{
    CoreSite, ExternKind, FuncInfo, LineInfo, MapKind, MapRef, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE,
    ProgramSpec, Spec, Subprog,
};

/// `call` with an immediate.
const CALL: u8 = 0x85;
/// `src` of a kernel function's call.
const PSEUDO_KFUNC_CALL: u8 = 2;
/// `src` of a typed kernel variable's address in `ld_imm64`.
const PSEUDO_BTF_ID: u8 = 3;
/// Helper number that stands for an unresolved kernel function, plus the extern's number.
const POISON_KFUNC: i32 = 2_002_000_000;
/// Slots, and records about them, that all programs of an object may take together.
const MAX_SLOTS: usize = 4_000_000;

/// Puts each program of `spec` together anew, from its functions as they stand.
pub(crate) fn assemble(spec: &mut Spec) -> Result<(), LoadError> {
    let functions = std::mem::take(&mut spec.functions);
    let assembled = assemble_all(spec, &functions);
    spec.functions = functions;
    spec.programs = assembled?;
    Ok(())
}

fn assemble_all(spec: &Spec, functions: &Functions) -> Result<Vec<ProgramSpec>, LoadError> {
    let mut left = MAX_SLOTS;
    functions
        .entries()
        .enumerate()
        .map(|(number, entry)| {
            let program = describe(&functions.all[entry], spec.programs.get(number));
            let mut assembly = Assembly::new(spec, functions, program, &mut left);
            assembly.place(entry)?;
            assembly.run()?;
            if let Some(callback) = functions.all[entry].exception_callback
                && !assembly.placed.contains_key(&callback)
            {
                assembly.place(callback)?;
                assembly.run()?;
            }
            Ok(assembly.program)
        })
        .collect()
}

/// One program in the making.
struct Assembly<'s> {
    spec: &'s Spec,
    functions: &'s Functions,
    program: ProgramSpec,
    /// First slot of each function that is in.
    placed: FxHashMap<usize, usize>,
    /// Functions being scanned for calls, innermost last, each with the next slot to look at.
    open: Vec<(usize, usize)>,
    /// Slots that the object may still take.
    left: &'s mut usize,
}

impl<'s> Assembly<'s> {
    fn new(
        spec: &'s Spec,
        functions: &'s Functions,
        program: ProgramSpec,
        left: &'s mut usize,
    ) -> Assembly<'s> {
        let (placed, open) = (FxHashMap::default(), Vec::new());
        Assembly { spec, functions, program, placed, open, left }
    }

    /// Appends a function's code and what belongs to it, and opens it.
    fn place(&mut self, index: usize) -> Result<usize, LoadError> {
        let function = &self.functions.all[index];
        let base = self.program.insns.len();
        let records = function.relocs.len() + function.core_relos.len() * 2;
        let slots = function.insns.len() + function.line_info.len() + records;
        *self.left = self.left.checked_sub(slots).ok_or_else(|| LoadError::Limit {
            what: format!("instructions in all programs together (at '{}')", self.program.name),
            limit: MAX_SLOTS as u64,
        })?;
        self.add_info(function, base)?;
        self.program.insns.extend_from_slice(function.code());
        self.program.subprogs.push(Subprog {
            name: function.name.clone(),
            section: function.section.clone(),
            insn_off: base,
            section_insn_off: function.section_off,
            len: function.insns.len(),
        });
        for (insn, relo) in &function.core_relos {
            self.program.core_relos.push(CoreSite { insn: base + insn, relo: *relo });
        }
        for (insn, text) in &function.unresolved {
            self.program.unresolved.push((base + insn, text.clone()));
        }
        for reloc in &function.relocs {
            self.relocate(base, reloc);
        }
        self.placed.insert(index, base);
        self.open.push((index, 0));
        Ok(base)
    }

    /// Function and line information; a program without any has none of its subprograms either.
    fn add_info(&mut self, function: &Function, base: usize) -> Result<(), LoadError> {
        let (is_main, program) = (base == 0, &mut self.program);
        let missing = |what: &str| LoadError::Program {
            program: function.name.to_string(),
            section: function.section.to_string(),
            insn: 0,
            message: format!("no {what} information in .BTF.ext, though the caller has some"),
        };
        if is_main || !program.func_info.is_empty() {
            if !is_main && function.func_info.is_empty() {
                return Err(missing("function"));
            }
            program.func_info.extend(function.func_info.iter().map(|info| FuncInfo {
                insn_off: info.insn_off.wrapping_add(base as u32),
                ..*info
            }));
        }
        if is_main || !program.line_info.is_empty() {
            if !is_main && function.line_info.is_empty() {
                return Err(missing("line"));
            }
            program.line_info.extend(function.line_info.iter().map(|info| LineInfo {
                insn_off: info.insn_off.wrapping_add(base as u32),
                ..*info
            }));
        }
        Ok(())
    }

    /// Follows calls until every function called is in.
    fn run(&mut self) -> Result<(), LoadError> {
        while let Some((index, next)) = self.open.pop() {
            let function = &self.functions.all[index];
            let base = self.placed[&index];
            let code = function.code();
            let Some(at) = (next..code.len()).find(|at| refers(code[*at])) else {
                continue;
            };
            self.open.push((index, at + 1));
            let Some(callee) = self.callee(function, at)? else { continue };
            let target = match self.placed.get(&callee) {
                Some(target) => *target,
                None => self.place(callee)?,
            };
            let here = base + at;
            self.program.insns[here].imm = (target as i64 - here as i64 - 1) as i32;
        }
        Ok(())
    }

    /// The function that a call or address refers to; `None` for what is not the object's.
    fn callee(&self, function: &Function, at: usize) -> Result<Option<usize>, LoadError> {
        let insn = function.code()[at];
        let imm = i64::from(insn.imm);
        let found = function.relocs.binary_search_by_key(&at, |reloc| reloc.insn);
        let (section, slot) = match found.ok().map(|found| function.relocs[found].target) {
            Some(Target::ExternCall { .. }) => return Ok(None),
            Some(Target::Call { section, offset }) => (section, (offset / 8) as i64 + imm + 1),
            Some(Target::FuncAddr { section, offset }) => {
                (section, (offset as i64).wrapping_add(imm) / 8)
            }
            Some(_) => return Err(bad(function, at, "unexpected relocation of a call")),
            None if insn.is_ld_imm64() => {
                return Err(bad(function, at, "function address without a relocation"));
            }
            None => (function.section_index, (function.section_off + at) as i64 + imm + 1),
        };
        let callee = usize::try_from(slot).ok().and_then(|slot| self.functions.find(section, slot));
        match callee {
            Some(callee) if self.functions.is_subprog(callee) => Ok(Some(callee)),
            Some(callee) => {
                let name = &self.functions.all[callee].name;
                Err(bad(function, at, format!("'{name}' is a program, not a function to call")))
            }
            None => Err(bad(function, at, format!("no function holds slot {slot} of the section"))),
        }
    }

    /// Applies a relocation that does not depend on where functions are placed.
    fn relocate(&mut self, base: usize, reloc: &Reloc) {
        let at = base + reloc.insn;
        match reloc.target {
            Target::Map { map } => self.load_map(at, map, None),
            Target::Value { map, offset } => {
                let own = self.program.insns[at].imm as u32;
                let offset = own.wrapping_add(offset as u32);
                self.load_map(at, map, Some(offset));
            }
            Target::ExternLoad { index } => self.load_extern(at, index),
            Target::ExternCall { index } => self.call_extern(at, index),
            Target::Call { .. } | Target::FuncAddr { .. } => {}
        }
    }

    fn load_map(&mut self, at: usize, map: usize, value_off: Option<u32>) {
        let src = if value_off.is_some() { PSEUDO_MAP_VALUE } else { PSEUDO_MAP_FD };
        self.load(at, src, map as i32);
        if let (Some(offset), Some(second)) = (value_off, self.program.insns.get_mut(at + 1)) {
            second.imm = offset as i32;
        }
        self.program.map_refs.push(MapRef { insn: at, map, value_off });
    }

    fn load(&mut self, at: usize, src: u8, imm: i32) {
        let insn = &mut self.program.insns[at];
        *insn = Insn::new(insn.code, insn.dst().0, src, insn.off, imm);
    }

    fn load_extern(&mut self, at: usize, index: usize) {
        match self.spec.externs.get(index).map(|ext| (&ext.kind, ext.resolved)) {
            Some((ExternKind::Kconfig { offset, .. }, _)) => {
                let kconfig = |map: &crate::spec::MapSpec| map.kind == MapKind::Kconfig;
                if let Some(map) = self.spec.maps.iter().position(kconfig) {
                    self.load_map(at, map, Some(*offset));
                }
            }
            Some((ExternKind::Ksym { type_id, kernel_btf_id, module, .. }, true))
                if !type_id.is_void() =>
            {
                self.load(at, PSEUDO_BTF_ID, *kernel_btf_id as i32);
                self.set_second(at, *module as i32);
            }
            Some((ExternKind::Ksym { address, .. }, _)) => {
                self.program.insns[at].imm = *address as i32;
                self.set_second(at, (*address >> 32) as i32);
            }
            None => {}
        }
    }

    fn set_second(&mut self, at: usize, imm: i32) {
        if let Some(second) = self.program.insns.get_mut(at + 1) {
            second.imm = imm;
        }
    }

    fn call_extern(&mut self, at: usize, index: usize) {
        let ext = self.spec.externs.get(index);
        let insn = &mut self.program.insns[at];
        *insn = match ext.map(|ext| (&ext.kind, ext.resolved)) {
            Some((ExternKind::Ksym { kernel_btf_id, module, .. }, true)) => Insn::new(
                insn.code,
                insn.dst().0,
                PSEUDO_KFUNC_CALL,
                *module as i16,
                *kernel_btf_id as i32,
            ),
            _ => Insn::new(CALL, 0, 0, 0, POISON_KFUNC.wrapping_add(index as i32)),
        };
    }
}

/// Whether an instruction refers to a function of the program.
fn refers(insn: Insn) -> bool {
    let calls = insn.code == CALL && insn.regs == PSEUDO_CALL << 4 && insn.off == 0;
    calls || (insn.is_ld_imm64() && insn.src().0 == PSEUDO_FUNC)
}

/// What the section's name says of a program; what was resolved before is kept.
fn describe(function: &Function, old: Option<&ProgramSpec>) -> ProgramSpec {
    let section = &*function.section;
    let kind = section_kind(section);
    let mut program = ProgramSpec {
        name: function.name.to_string(),
        section: section.to_owned(),
        prog_type: kind.map(|kind| kind.prog_type),
        expected_attach_type: kind.map_or(0, |kind| kind.attach),
        flags: kind.map_or(0, |kind| kind.flags),
        attach_target: section.split_once('/').map(|(_, target)| target.to_owned()),
        attach_point: kind.and_then(attach_point),
        autoload: function.autoload,
        ..ProgramSpec::default()
    };
    if let Some(old) = old {
        program.autoload = old.autoload;
        program.prog_type = old.prog_type;
        program.flags = old.flags;
        program.expected_attach_type = old.expected_attach_type;
        program.attach_target.clone_from(&old.attach_target);
        program.attach_btf_id = old.attach_btf_id;
    }
    program
}

fn bad(function: &Function, insn: usize, message: impl Into<String>) -> LoadError {
    LoadError::Program {
        program: function.name.to_string(),
        section: function.section.to_string(),
        insn,
        message: message.into(),
    }
}
