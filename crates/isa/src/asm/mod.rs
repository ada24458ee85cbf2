//! Text to instructions: both the kernel's style (`r1 = *(u32 *)(r10 -8)`, `goto pc+1`) and
//! LLVM's (`w1 = *(u32 *)(r10 - 0x8)`, `goto +0x1 <label>`), freely mixed.
//!
//! One instruction a line, after any number of labels (`name:`) and, to allow pasted listings,
//! a slot number (`12:`, ignored) and an opcode (`(b7)`, compared). Beyond both styles:
//!
//! | text | meaning |
//! | --- | --- |
//! | `goto name`, `if … goto name`, `call name` | jump or call to a label |
//! | `r1 = 5 ll` | 64-bit immediate; without `ll` only numbers beyond 32 bits are |
//! | `r1 = map_fd 3`, `r1 = map_value 3 + 8` | map by descriptor; address within its value |
//! | `r1 = map_idx 0`, `r1 = map_idx_value 0 + 8` | likewise, by index in `fd_array` |
//! | `r1 = btf_id 77 in 5` | kernel variable by BTF id; `in` and descriptor may be left out |
//! | `r1 = func name`, `r1 = func pc+3` | address of a subprogram |
//! | `call kfunc#65472`, `call kfunc(1)#9` | kernel function by BTF id; in `fd_array[1]` |
//!
//! Entry points: [`assemble`], and [`assemble_with`] for named helpers and maps.

mod lex;
mod link;
mod parse;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::{Callee, Imm64, Insn};

/// What is wrong with a text, and where.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{line}:{column}: {message}")]
pub struct AsmError {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What was found or expected.
    pub message: String,
}

/// What names in a text stand for.
pub trait Symbols {
    /// The target of `call name` (no label of that name) or `call name#number`.
    fn callee(&self, name: &str, number: Option<i32>) -> Option<Callee> {
        let _ = name;
        number.map(Callee::Helper)
    }

    /// The value of `name` in `r1 = name ll`.
    fn imm64(&self, name: &str) -> Option<Imm64> {
        let _ = name;
        None
    }
}

/// Knows no names; numbers after names are helpers.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoSymbols;

impl Symbols for NoSymbols {}

/// An assembled text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assembly {
    /// The slots.
    pub insns: Vec<Insn>,
    /// For each slot the line it comes from, from 1.
    pub lines: Vec<usize>,
    /// The slot after each label.
    pub labels: BTreeMap<String, usize>,
}

/// The slots of `text`.
pub fn assemble(text: &str) -> Result<Vec<Insn>, AsmError> {
    Ok(assemble_with(text, &NoSymbols)?.insns)
}

/// The slots of `text` with the names of `symbols`, and where labels and lines went.
pub fn assemble_with(text: &str, symbols: &dyn Symbols) -> Result<Assembly, AsmError> {
    let mut linker = link::Linker::new(symbols);
    for (index, line) in text.lines().enumerate() {
        let tokens = lex::tokens(line, index + 1)?;
        let parsed = parse::line(&tokens, index + 1, symbols)?;
        linker.add(parsed)?;
    }
    linker.finish()
}
