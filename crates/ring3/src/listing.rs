//! Programs as text, with the source between the instructions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};

use btf::Btf;
use isa::{Insn, disasm};
use loader::{MapRef, ProgramSpec, Spec};
use runtime::MachineInsn;

use crate::source::{line_of, source_line};

/// How instructions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As `bpftool prog dump xlated` and Linux's verifier log do.
    #[default]
    Kernel,
    /// As `llvm-objdump -d` does.
    Llvm,
}

/// The instructions of `program`, each line of source above those that come from it.
pub fn listing(spec: &Spec, program: &ProgramSpec, style: Style) -> String {
    let mut out = String::new();
    let listing = Listing::new(spec, program, style);
    // Writing to a string cannot fail.
    let _ = listing.write(&mut out);
    out
}

/// Machine instructions, each line of source above those that come from it.
pub(crate) fn machine_listing(
    btf: Option<&Btf>,
    program: &ProgramSpec,
    insns: &[MachineInsn],
    opcodes: bool,
) -> String {
    let mut out = String::new();
    let mut last = None;
    for insn in insns {
        if let Some(at) = insn.function {
            let subprog = program.subprog_at(at as usize);
            let blank = if out.is_empty() { "" } else { "\n" };
            let name = subprog.map_or(&*program.name, |subprog| &*subprog.name);
            out += &format!("{blank}{name}:\n");
            last = None;
        }
        let line = insn.slot.and_then(|slot| source_line(btf?, program, slot as usize));
        if line.is_some() && line != last {
            out += &line.as_ref().map(|line| format!("; {line}\n")).unwrap_or_default();
            last = line;
        }
        out += &format!("{:4x}:\t{}\n", insn.offset, insn.text);
        if opcodes {
            let bytes: Vec<String> = insn.bytes.iter().map(|b| format!("{b:02x}")).collect();
            out += &format!("\t{}\n", bytes.join(" "));
        }
    }
    out
}

struct Listing<'a> {
    spec: &'a Spec,
    program: &'a ProgramSpec,
    style: Style,
    /// The slots as they are shown.
    insns: Vec<Insn>,
    maps: HashMap<usize, &'a MapRef>,
}

impl<'a> Listing<'a> {
    fn new(spec: &'a Spec, program: &'a ProgramSpec, style: Style) -> Listing<'a> {
        let mut insns = program.insns.clone();
        if style == Style::Llvm {
            program.map_refs.iter().for_each(|at| unrelocate(&mut insns, at));
        }
        let maps = program.map_refs.iter().map(|at| (at.insn, at)).collect();
        Listing { spec, program, style, insns, maps }
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let mut lines = self.program.line_info.iter().peekable();
        let mut last = None;
        let mut starts = self.program.subprogs.iter().peekable();
        let mut pc = 0;
        while pc < self.insns.len() {
            while let Some(subprog) = starts.next_if(|subprog| subprog.insn_off <= pc) {
                writeln!(out, "{}:", subprog.name)?;
            }
            while let Some(info) = lines.next_if(|info| info.insn_off as usize <= pc) {
                let line = self.spec.btf.as_deref().and_then(|btf| line_of(btf, info));
                let place = line.as_ref().map(|line| (line.file.clone(), line.line));
                if let Some(line) = line.filter(|_| place != last) {
                    match self.style {
                        Style::Kernel => writeln!(out, "; {line}")?,
                        Style::Llvm => writeln!(out, "; {}", line.text)?,
                    }
                    last = place;
                }
            }
            pc += self.insn(out, pc)?;
        }
        Ok(())
    }

    /// Writes the instruction at `pc`; the slots that it takes.
    fn insn(&self, out: &mut String, pc: usize) -> Result<usize, fmt::Error> {
        let wide = self.insns[pc].is_ld_imm64() && pc + 1 < self.insns.len();
        let slots = if wide { 2 } else { 1 };
        let names = Named { listing: self, pc };
        match self.style {
            Style::Kernel => {
                writeln!(out, "{pc:4}: {}", disasm::kernel(&self.insns, pc, &names))?;
            }
            Style::Llvm => {
                write!(out, "{pc:8}:\t")?;
                let bytes = self.insns[pc..pc + slots].iter().flat_map(|insn| insn.to_bytes());
                for (at, byte) in bytes.enumerate() {
                    write!(out, "{}{byte:02x}", if at == 0 { "" } else { " " })?;
                }
                writeln!(out, "\t{}", disasm::llvm(&self.insns, pc, &names))?;
                if let Some(map) = self.map_at(pc) {
                    writeln!(out, "\t\t{:016x}:  R_BPF_64_64\t{map}", pc * Insn::SIZE)?;
                }
            }
        }
        Ok(slots)
    }

    fn map_at(&self, pc: usize) -> Option<&str> {
        let at = self.maps.get(&pc)?;
        self.spec.maps.get(at.map).map(|map| map.name.as_str())
    }
}

/// Gives the load of a map the form it has in the object.
fn unrelocate(insns: &mut [Insn], at: &MapRef) {
    if let Some([low, high]) = insns.get_mut(at.insn..at.insn + 2) {
        low.regs &= 0x0f;
        low.imm = at.value_off.unwrap_or(0) as i32;
        high.imm = 0;
    }
}

/// Names of what the instruction at `pc` refers to.
struct Named<'a> {
    listing: &'a Listing<'a>,
    pc: usize,
}

impl disasm::Names for Named<'_> {
    fn helper(&self, id: i32) -> Option<&str> {
        uapi::helper(u32::try_from(id).ok()?).map(|proto| proto.name.as_ref())
    }

    fn imm64(&self, _: &Insn, _: u64) -> Option<Cow<'_, str>> {
        let name = self.listing.map_at(self.pc)?;
        let off = self.listing.maps.get(&self.pc)?.value_off;
        Some(Cow::Owned(off.map_or(format!("map[{name}]"), |off| format!("map[{name}][0]+{off}"))))
    }

    fn label(&self, pc: usize) -> Option<Cow<'_, str>> {
        let subprog = self.listing.program.subprog_at(pc)?;
        let off = (pc - subprog.insn_off) * Insn::SIZE;
        Some(Cow::Owned(if off == 0 {
            subprog.name.to_string()
        } else {
            format!("{}+{off:#x}", subprog.name)
        }))
    }
}
