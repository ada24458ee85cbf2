//! What an object holds, ready to be given to bpf(2).

use std::sync::Arc;

use btf::{Btf, TypeId};
use isa::Insn;
use uapi::{MapDef, ProgType};

use crate::function::Functions;

/// Source of a map load in `src` of `ld_imm64`: the map itself.
pub(crate) const PSEUDO_MAP_FD: u8 = 1;
/// Source of a map load in `src` of `ld_imm64`: an address in the map's value.
pub(crate) const PSEUDO_MAP_VALUE: u8 = 2;

/// An object's programs, maps and types.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The object's name: the file's up to its first dot.
    pub name: String,
    /// Entry programs, by section index and offset.
    pub programs: Vec<ProgramSpec>,
    /// Maps in libbpf's order: legacy ones, `.maps`, data sections, `.kconfig`.
    pub maps: Vec<MapSpec>,
    /// The object's BTF, sizes and offsets of data sections filled in.
    pub btf: Option<Arc<Btf>>,
    /// Contents of section `license`, without the closing zero.
    pub license: String,
    /// Contents of section `version`, 0 without one.
    pub version: u32,
    /// Symbols that the kernel or its configuration defines.
    pub externs: Vec<Extern>,
    pub(crate) functions: Functions,
}

/// One program: a function of a program section and the subprograms it needs.
#[derive(Clone, Debug, Default)]
pub struct ProgramSpec {
    /// The function's name, not cut to the kernel's 15 bytes.
    pub name: String,
    /// The section's name, without a leading `?`.
    pub section: String,
    /// What the section's name says; `None` if it says nothing.
    pub prog_type: Option<ProgType>,
    /// `enum bpf_attach_type`, 0 where the section's name gives none.
    pub expected_attach_type: u32,
    /// `BPF_F_*` flags of the load: sleepable, XDP fragments.
    pub flags: u32,
    /// Whether it is loaded unless told otherwise; not so for `SEC("?…")`.
    pub autoload: bool,
    /// What the section's name says after the first `/`.
    pub attach_target: Option<String>,
    /// The kernel type that the target is looked up as, for types that attach by BTF.
    pub attach_point: Option<AttachPoint>,
    /// Id of the target in the kernel's BTF; 0 before [`Spec::resolve_attach`].
    pub attach_btf_id: u32,
    /// Slots: the program's own, then each subprogram's. Map loads hold the index of the map.
    pub insns: Vec<Insn>,
    /// Functions' types, in slots from the start of `insns`.
    pub func_info: Vec<FuncInfo>,
    /// Source lines, in slots from the start of `insns`.
    pub line_info: Vec<LineInfo>,
    /// The program's own function, then those appended, in the order of `insns`.
    pub subprogs: Vec<Subprog>,
    /// Loads of maps and of their values.
    pub map_refs: Vec<MapRef>,
    /// Instructions that CO-RE relocates.
    pub core_relos: Vec<CoreSite>,
    /// Slots that CO-RE made unusable, and what they ask of the kernel's types.
    pub unresolved: Vec<(usize, Arc<str>)>,
}

/// Where a function stands in a program and in the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subprog {
    /// The function's name.
    pub name: Arc<str>,
    /// The section it comes from.
    pub section: Arc<str>,
    /// First slot in the program.
    pub insn_off: usize,
    /// First slot in the section.
    pub section_insn_off: usize,
    /// Number of slots.
    pub len: usize,
}

/// `struct bpf_func_info`: a function starts here and has this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// First slot of the function.
    pub insn_off: u32,
    /// Its FUNC in the object's BTF.
    pub type_id: TypeId,
}

/// `struct bpf_line_info`: from this slot on, code comes from this source line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// First slot of the line.
    pub insn_off: u32,
    /// String offset of the file's name.
    pub file_name_off: u32,
    /// String offset of the line's text.
    pub line_off: u32,
    /// Line number in the upper 22 bits, column in the lower 10.
    pub line_col: u32,
}

/// A load of a map or of an address in its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRef {
    /// First slot of the `ld_imm64`.
    pub insn: usize,
    /// Index in [`Spec::maps`].
    pub map: usize,
    /// Offset in the map's value in bytes; `None` for the map itself.
    pub value_off: Option<u32>,
}

/// An instruction that CO-RE relocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSite {
    /// Its slot in the program.
    pub insn: usize,
    /// The record; its `insn_off` counts bytes in the ELF section.
    pub relo: btf::CoreRelo,
}

/// How a program's target is named in the kernel's BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachPoint {
    /// A function, by its name (fentry, fexit, fmod_ret).
    Function,
    /// A raw tracepoint: typedef `btf_trace_NAME`.
    RawTracepoint,
    /// A security hook: function `bpf_lsm_NAME`.
    Lsm,
    /// An iterator: function `bpf_iter_NAME`.
    Iter,
    /// A function of another program (freplace).
    Program,
}

/// One map.
#[derive(Clone, Debug)]
pub struct MapSpec {
    /// The name as libbpf shows it; `def.name` is cut to the kernel's 15 bytes.
    pub name: String,
    /// What it is created with.
    pub def: MapDef,
    /// Where it comes from.
    pub kind: MapKind,
    /// The section it comes from.
    pub section: String,
    /// Its offset in the section in bytes.
    pub section_offset: u64,
    /// Value of the one element to begin with, or the start of an arena; `None` is all zeroes, or
    /// nothing to set.
    pub initial: Option<Vec<u8>>,
    /// User space can no longer write it once it is filled.
    pub frozen: bool,
    /// Whether it is pinned.
    pub pin: Pin,
    /// Elements to set before programs are loaded (maps) or after (programs), by key; in a
    /// struct_ops map the byte of the value that holds the function's pointer.
    pub slots: Vec<(u32, Slot)>,
    /// Whether it is created unless told otherwise; not so in `?.struct_ops`.
    pub autocreate: bool,
    /// The struct that a struct_ops variable is, in the object's BTF.
    pub struct_type: TypeId,
}

/// Where a map comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Defined in section `.maps`.
    Btf,
    /// Defined in section `maps` by `struct bpf_map_def`.
    Legacy,
    /// `.data`, `.data.*`.
    Data,
    /// `.rodata`, `.rodata.*`: read-only for programs, frozen.
    Rodata,
    /// `.bss`, `.bss.*`.
    Bss,
    /// Externs of section `.kconfig`.
    Kconfig,
    /// A variable of a struct_ops section.
    StructOps,
}

impl MapKind {
    /// Whether it holds a section's variables.
    pub fn is_section(self) -> bool {
        matches!(self, MapKind::Data | MapKind::Rodata | MapKind::Bss | MapKind::Kconfig)
    }
}

/// Whether a map is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pin {
    /// It is not.
    #[default]
    None,
    /// Under its own name in the default directory.
    ByName,
}

/// What an element of a map refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Index in [`Spec::maps`].
    Map(usize),
    /// Index in [`Spec::programs`].
    Program(usize),
}

/// A symbol that the kernel or its configuration defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extern {
    /// Its name.
    pub name: String,
    /// Its VAR or FUNC in the object's BTF.
    pub btf_id: TypeId,
    /// It may be missing.
    pub weak: bool,
    /// Whether it has been resolved.
    pub resolved: bool,
    /// Which of the two it is.
    pub kind: ExternKind,
    pub(crate) symbol: usize,
}

/// What stands behind an extern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternKind {
    /// A value of the kernel's configuration, in map `.kconfig`.
    Kconfig {
        /// What the value is read as.
        ty: KconfigType,
        /// Offset in the map's value, in bytes.
        offset: u32,
        /// Size in bytes.
        size: u32,
        /// Alignment in bytes.
        align: u32,
    },
    /// A kernel symbol.
    Ksym {
        /// Its type in the object's BTF under typedefs; void: untyped, only its address is known.
        type_id: TypeId,
        /// Its id in the kernel's BTF, 0 before it is resolved.
        kernel_btf_id: u32,
        /// The module whose BTF holds it: 0 for vmlinux, else 1 + its index in what the caller gave.
        module: u32,
        /// Its address, for an untyped one.
        address: u64,
    },
}

/// Types that a configuration value can be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KconfigType {
    /// One character.
    Char {
        /// Whether negative values fit.
        signed: bool,
    },
    /// `bool`: y or n.
    Bool,
    /// An integer of the extern's size.
    Int {
        /// Whether negative values fit.
        signed: bool,
    },
    /// `enum libbpf_tristate`: y, n or m.
    Tristate,
    /// A string in an array of characters.
    CharArray,
}

impl Spec {
    /// The program with this name.
    pub fn program(&self, name: &str) -> Option<&ProgramSpec> {
        self.programs.iter().find(|program| program.name == name)
    }

    /// The map with this name.
    pub fn map(&self, name: &str) -> Option<&MapSpec> {
        self.maps.iter().find(|map| map.name == name)
    }
}

impl ProgramSpec {
    /// The slots with map descriptors put in, one for each of [`Spec::maps`]; a map without one
    /// keeps its index.
    pub fn link(&self, fds: &[i32]) -> Vec<Insn> {
        let mut insns = self.insns.clone();
        for at in &self.map_refs {
            if let (Some(insn), Some(&fd)) = (insns.get_mut(at.insn), fds.get(at.map)) {
                insn.imm = fd;
            }
        }
        insns
    }

    /// The function that holds this slot.
    pub fn subprog_at(&self, insn: usize) -> Option<&Subprog> {
        let next = self.subprogs.partition_point(|subprog| subprog.insn_off <= insn);
        self.subprogs.get(next.checked_sub(1)?)
    }
}
