//! The BPF instruction set of RFC 9669 and Linux 6.18.
//!
//! [`Insn`] is one 8-byte slot as it stands in memory, [`Op`] what a well-formed instruction
//! means. [`decode`] turns slots into operations, [`encode`] the reverse; the assembler
//! ([`asm`]) and the disassemblers ([`disasm`]: the kernel's style and LLVM's) share the same
//! table of opcodes and spellings.
//! Nothing here knows maps, helpers or programs: names are looked up by the caller.
#![forbid(unsafe_code)]

pub mod asm;
mod decode;
pub mod disasm;
mod encode;
mod error;
mod insn;
mod op;
mod table;

pub use decode::{decode, decode_program, is_known_opcode};
pub use encode::{encode, encode_program};
pub use error::{DecodeError, EncodeError, Family};
pub use insn::{Insn, Reg};
pub use op::{AluOp, AtomicOp, Callee, Cond, Endian, Imm64, Op, Size, Src, Width};
