//! A function of the object as the compiler left it, with its relocations sorted out.

use std::sync::Arc;

use isa::Insn;

/// Code of one symbol.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    /// Section name without a leading `?`.
    pub(crate) section: Arc<str>,
    /// ELF index of the section.
    pub(crate) section_index: usize,
    /// First slot in the section.
    pub(crate) section_off: usize,
    pub(crate) insns: Vec<Insn>,
    /// By slot.
    pub(crate) relocs: Vec<Reloc>,
    pub(crate) autoload: bool,
    pub(crate) global: bool,
    /// Global but hidden: its FUNC is to be static for the verifier.
    pub(crate) hidden: bool,
}

/// What a slot refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reloc {
    /// Slot in the function.
    pub(crate) insn: usize,
    pub(crate) target: Target,
}

/// What a relocation refers to; offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Map { map: usize },
    Value { map: usize, offset: u64 },
    Call { offset: u64 },
    FuncAddr { offset: u64 },
    ExternLoad { index: usize },
    ExternCall { index: usize },
}
