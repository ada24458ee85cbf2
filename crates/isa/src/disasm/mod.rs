//! Instructions as text: as Linux's verifier log and `bpftool prog dump xlated` print them
//! ([`kernel`]), and as `llvm-objdump` does ([`llvm`]).

mod kernel;
mod llvm;

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::{Imm64, Insn, decode};

pub use kernel::{kernel, write_kernel, write_kernel_text};
pub use llvm::{llvm, write_llvm};

/// What numbers in instructions are called; `None` prints the plain number.
pub trait Names {
    /// Name of a helper: `bpf_map_lookup_elem` for 1.
    fn helper(&self, id: i32) -> Option<&str> {
        let _ = id;
        None
    }

    /// What stands between `call ` and `#imm` for a kernel function or unnamed helper, or after
    /// `call pc` for a subprogram.
    fn callee(&self, insn: &Insn) -> Option<Cow<'_, str>> {
        let _ = insn;
        None
    }

    /// What a 64-bit immediate is loaded from; `value` joins both slots' immediates.
    fn imm64(&self, insn: &Insn, value: u64) -> Option<Cow<'_, str>> {
        let _ = (insn, value);
        None
    }

    /// Label of the slot a jump goes to (LLVM style only).
    fn label(&self, pc: usize) -> Option<Cow<'_, str>> {
        let _ = pc;
        None
    }
}

/// No names at all.
#[derive(Clone, Copy, Default, Debug)]
pub struct Plain;

impl Names for Plain {}

/// Spells out what 64-bit immediates and kernel calls refer to (`map_fd 3`, `kfunc`), so that
/// [`crate::asm::assemble`] gives back the same slots.
#[derive(Clone, Copy, Default, Debug)]
pub struct Pseudo;

impl Names for Pseudo {
    fn callee(&self, insn: &Insn) -> Option<Cow<'_, str>> {
        const KFUNC: u8 = 2;
        (insn.src().0 == KFUNC).then(|| match insn.off {
            0 => Cow::Borrowed("kfunc"),
            off => Cow::Owned(format!("kfunc({off})")),
        })
    }

    fn imm64(&self, insn: &Insn, value: u64) -> Option<Cow<'_, str>> {
        let high = Insn { imm: (value >> 32) as i32, ..Insn::default() };
        match decode(&[*insn, high], 0) {
            Ok(crate::Op::LdImm64 { imm, .. }) => Some(Cow::Owned(pseudo(imm))),
            _ => None,
        }
    }
}

fn pseudo(imm: Imm64) -> String {
    match imm {
        Imm64::Value(v) => format!("{v:#x} ll"),
        Imm64::MapFd(fd) => format!("map_fd {fd}"),
        Imm64::MapValue { fd, off } => format!("map_value {fd} + {off}"),
        Imm64::BtfId { id, btf_fd } => format!("btf_id {id} in {btf_fd}"),
        Imm64::Func(rel) => format!("func pc{rel:+}"),
        Imm64::MapIdx(idx) => format!("map_idx {idx}"),
        Imm64::MapIdxValue { idx, off } => format!("map_idx_value {idx} + {off}"),
    }
}

/// The whole program, a line for each instruction: `pc: (code) text`, as `bpftool prog dump
/// xlated` prints it.
pub fn write_listing(out: &mut dyn Write, insns: &[Insn], names: &dyn Names) -> fmt::Result {
    let mut pc = 0;
    while pc < insns.len() {
        write!(out, "{pc:4}: ")?;
        write_kernel(out, insns, pc, names)?;
        out.write_char('\n')?;
        pc += if insns[pc].is_ld_imm64() { 2 } else { 1 };
    }
    Ok(())
}
