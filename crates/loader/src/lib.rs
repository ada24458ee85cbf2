//! An ELF object to programs, maps and relocated instructions.
//!
//! [`Object::parse`] reads what clang or bpftool wrote and gives a [`Spec`]: programs with their
//! subprograms appended and calls relocated as libbpf does it, maps with their initial contents,
//! and BTF as it is to be loaded. What depends on the kernel comes after, from the caller's data:
//! [`Spec::relocate_core`], [`Spec::resolve_kconfig`], [`Spec::resolve_ksyms`],
//! [`Spec::resolve_attach`], [`Spec::resolve_struct_ops`]. [`ProgramSpec::link`] puts map descriptors in. Nothing here does I/O:
//! the same bytes give the same spec. [`link`] makes one object of several.
#![forbid(unsafe_code)]

mod assemble;
mod attach;
mod budget;
mod core;
mod data;
mod elf;
mod error;
mod externs;
mod fixup;
mod function;
mod info;
mod kconfig;
mod ksyms;
mod link;
mod maps;
mod object;
mod reloc;
mod sanitise;
mod section;
mod spec;
mod struct_ops;

pub use self::core::CoreNeeds;
pub use error::{LoadError, Missing};
pub use kconfig::{KernelFacts, config_value};
pub use link::link;
pub use maps::takes_btf;
pub use object::Object;
pub use sanitise::{BtfFeatures, sanitised};
pub use spec::{
    AttachPoint, CoreSite, Extern, ExternKind, FuncInfo, KconfigType, LineInfo, MapKind, MapRef,
    MapSpec, Pin, ProgramSpec, Slot, Spec, Subprog,
};
