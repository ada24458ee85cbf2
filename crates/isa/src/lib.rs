//! The BPF instruction set of RFC 9669 and Linux 6.18.
//!
//! [`Insn`] is one 8-byte slot as it stands in memory, [`Op`] what a well-formed instruction
//! means. `decode` turns slots into operations, `encode` the reverse; the assembler and the
//! disassemblers (the kernel's style and LLVM's) are derived from the same table.
//! Nothing here knows maps, helpers or programs: names are looked up by the caller.
#![forbid(unsafe_code)]

mod insn;
mod op;

pub use insn::{Insn, Reg};
pub use op::{AluOp, AtomicOp, Callee, Cond, Endian, Imm64, Op, Size, Src, Width};
