//! The BPF instruction set of RFC 9669 and Linux 6.18.
//!
//! [`Insn`] is one 8-byte slot as it stands in memory, [`Op`] what a well-formed instruction
//! means. [`decode`] turns slots into operations, [`encode`] the reverse; the assembler
//! ([`asm`]) and the disassemblers ([`disasm`]: the kernel's style and LLVM's) share the same
//! table of opcodes and spellings.
//! Nothing here knows maps, helpers or programs: names are looked up by the caller.
//!
//! ```
//! use isa::{asm, decode_program, disasm};
//!
//! let insns = asm::assemble("    r0 = 2\n    if w1 > 5 goto out\n    r0 = 1\nout: exit")?;
//! assert_eq!(decode_program(&insns)?.len(), 4);
//! assert_eq!(disasm::kernel(&insns, 1, &disasm::Plain), "(26) if w1 > 0x5 goto pc+1");
//! assert_eq!(disasm::llvm(&insns, 1, &disasm::Plain), "if w1 > 0x5 goto +0x1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
