//! Machine code as text: AT&T syntax, as `bpftool prog dump jited` prints it.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, OpKind,
};

use crate::Program;

/// One machine instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Offset in the program's code.
    pub offset: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Mnemonic, a tab, operands.
    pub text: String,
    /// Slot of the translated instruction that it starts the code of.
    pub pc: Option<u32>,
    /// Function (in the order of the input's starts) that starts here.
    pub function: Option<usize>,
}

/// The machine instructions of `program`; `name` knows functions outside it by their address.
pub fn instructions(program: &Program, name: &dyn Fn(u64) -> Option<String>) -> Vec<Text> {
    let code = program.code();
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut formatter = formatter();
    let mut lines = program.lines().iter().peekable();
    let mut out = Vec::new();
    for instruction in &mut decoder {
        let offset = instruction.ip() as u32;
        let end = offset as usize + instruction.len();
        let mut pc = None;
        while let Some(line) = lines.next_if(|line| line.offset <= offset) {
            pc = Some(line.pc);
        }
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let mut text = text.replacen(' ', "\t", 1);
        if let Some(callee) = outside(program, &instruction).and_then(name) {
            text += &format!("\t# {callee}");
        }
        out.push(Text {
            offset,
            bytes: code.get(offset as usize..end).unwrap_or_default().to_vec(),
            text,
            pc,
            function: program.functions().iter().position(|at| *at == offset),
        });
    }
    out
}

/// All of `program` as lines: offset, tab, instruction; with `opcodes`, its bytes on a line below.
pub fn listing(program: &Program, opcodes: bool, name: &dyn Fn(u64) -> Option<String>) -> String {
    let mut out = String::new();
    for line in instructions(program, name) {
        out += &format!("{:4x}:\t{}\n", line.offset, line.text);
        if opcodes {
            let bytes: Vec<String> = line.bytes.iter().map(|b| format!("{b:02x}")).collect();
            out += &format!("\t{}\n", bytes.join(" "));
        }
    }
    out
}

fn formatter() -> GasFormatter {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_uppercase_hex(false);
    options.set_space_after_operand_separator(true);
    options.set_gas_show_mnemonic_size_suffix(true);
    options.set_signed_immediate_operands(true);
    options.set_branch_leading_zeros(false);
    options.set_small_hex_numbers_in_decimal(false);
    formatter
}

/// The function outside the program that a call through the addresses at its end goes to.
fn outside(program: &Program, instruction: &Instruction) -> Option<u64> {
    let called = instruction.flow_control() == FlowControl::IndirectCall
        && instruction.op0_kind() == OpKind::Memory
        && instruction.is_ip_rel_memory_operand();
    let at = usize::try_from(instruction.ip_rel_memory_address()).ok()?;
    let bytes = program.memory.bytes().get(at..at + 8)?;
    called.then(|| u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}
