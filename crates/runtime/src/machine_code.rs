//! A program's machine code as text.

use isa::{Callee, Op};

use crate::prog::Prog;

/// One machine instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineInsn {
    /// Offset in the program's code.
    pub offset: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// AT&T syntax: mnemonic, a tab, operands; a helper's name after a call.
    pub text: String,
    /// Slot of the program as loaded that it starts the code of.
    pub slot: Option<u32>,
    /// Slot of the function that starts here.
    pub function: Option<u32>,
}

/// The machine instructions of `prog`'s functions, or why there are none.
pub(crate) fn machine_code(prog: &Prog) -> Result<Vec<MachineInsn>, String> {
    let code = prog.native.as_ref().map_err(Clone::clone)?;
    let translated = &prog.translated;
    let origin = |pc: u32| translated.origin.get(pc as usize).copied();
    let body = code.body_len() as u32;
    let mut pc = 0;
    let mut out = Vec::new();
    for line in jit::dump::instructions(code, &|_| None) {
        if line.offset >= body {
            break;
        }
        pc = line.pc.unwrap_or(pc);
        let mut text = line.text;
        if text.starts_with("callq\t*") {
            text += &callee(prog, pc).map(|name| format!("\t# {name}")).unwrap_or_default();
        }
        let start = line.function.and_then(|f| translated.starts.get(f).copied());
        out.push(MachineInsn {
            offset: line.offset,
            bytes: line.bytes,
            text,
            slot: line.pc.and_then(origin),
            function: start.and_then(origin),
        });
    }
    Ok(out)
}

/// The helper that the call at translated slot `pc` names.
fn callee(prog: &Prog, pc: u32) -> Option<String> {
    let Ok(Op::Call(Callee::Helper(id))) = isa::decode(&prog.translated.insns, pc as usize) else {
        return None;
    };
    let id = u32::try_from(id).ok()?;
    let host = || prog.host_helpers.iter().map(|h| &h.proto).find(|p| p.id == id);
    uapi::helper(id).or_else(host).map(|proto| proto.name.to_string())
}
