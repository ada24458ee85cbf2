//! `prog dump jited`: machine code in AT&T syntax, function by function, with source lines.

use btf::print::JsonText;
use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, NumberBase, OpKind};

use super::dump::{Asked, Line, Listing, opcodes};
use super::show::{number, string};
use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::session::Ctx;
use runtime::door::ProgInfo;

/// The machine code of programs.
pub(super) fn jited(ctx: &Ctx<'_>, infos: Vec<ProgInfo>, asked: &Asked<'_>) -> Done {
    let many = infos.len() > 1;
    let mut programs = Vec::new();
    for info in infos {
        if info.jited.is_empty() {
            return Err(Fail::new("no instructions returned"));
        }
        if let Some(file) = asked.file {
            super::dump::write(file, &info.jited)?;
            return Ok(Answer::null());
        }
        if !cfg!(target_arch = "x86_64") {
            return Err(Fail::new("only machine code of x86-64 is disassembled"));
        }
        let listing = Listing::new(ctx, info, asked)?;
        programs.push(Program { functions: functions(ctx, &listing), listing });
    }
    Ok(Answer::data(Programs { programs, many, opcodes: asked.opcodes }))
}

struct Program {
    listing: Listing,
    functions: Vec<Function>,
}

/// A function's code.
struct Function {
    prototype: Option<String>,
    name: String,
    rows: Vec<Row>,
}

/// A machine instruction with the source line that begins there.
struct Row {
    offset: usize,
    line: Option<Line>,
    text: String,
    bytes: Vec<u8>,
}

fn functions(ctx: &Ctx<'_>, listing: &Listing) -> Vec<Function> {
    let info = &listing.info;
    let mut code = info.jited.as_slice();
    let mut out = Vec::new();
    // A door that tells no functions tells one piece of code.
    let whole = [(0, code.len() as u32)];
    let told: Vec<_> =
        info.jited_ksyms.iter().copied().zip(info.jited_func_lens.iter().copied()).collect();
    let pieces = if told.is_empty() { whole.as_slice() } else { told.as_slice() };
    for (at, &(address, len)) in pieces.iter().enumerate() {
        let (piece, rest) = code.split_at((len as usize).min(code.len()));
        code = rest;
        let start = info.func_info.get(at).map(|func| func.insn_off as usize);
        out.push(Function {
            prototype: start.and_then(|pc| listing.prototype(pc)),
            name: name(ctx, listing, address, at),
            rows: rows(listing, piece, address),
        });
    }
    out
}

/// The symbol of a function: the kernel's, or what it would be there.
fn name(ctx: &Ctx<'_>, listing: &Listing, address: u64, at: usize) -> String {
    if let Some(name) = ctx.symbols().at(address) {
        return name.to_owned();
    }
    if let Some((_, name)) = listing.subprogs.get(at) {
        return name.clone();
    }
    match at {
        0 => format!("bpf_prog_{}_{}", super::show::tag(listing.info.tag), listing.info.name),
        _ => format!("{address:#018x}"),
    }
}

fn rows(listing: &Listing, code: &[u8], address: u64) -> Vec<Row> {
    let end = address + code.len() as u64;
    let info = &listing.info;
    let places = info.jited_lines.iter().zip(&info.line_info);
    let mut lines =
        places.filter(|(place, _)| (address..end).contains(place) && address != 0).peekable();
    let mut formatter = formatter();
    let mut out = Vec::new();
    for instruction in &mut Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        let offset = (instruction.ip() - address) as usize;
        let mut line = None;
        while let Some((_, found)) = lines.next_if(|(place, _)| **place <= instruction.ip()) {
            line = Some(found);
        }
        out.push(Row {
            offset,
            line: line.and_then(|line| listing.line_text(line)),
            text: text(&mut formatter, &instruction),
            bytes: code[offset..(offset + instruction.len()).min(code.len())].to_vec(),
        });
    }
    out
}

fn formatter() -> GasFormatter {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_number_base(NumberBase::Decimal);
    options.set_space_after_operand_separator(true);
    options.set_gas_show_mnemonic_size_suffix(true);
    options.set_signed_immediate_operands(true);
    options.set_rip_relative_addresses(true);
    formatter
}

/// Mnemonic, a tab, operands; targets of jumps as addresses.
fn text(formatter: &mut GasFormatter, instruction: &Instruction) -> String {
    let mut text = String::new();
    if instruction.op0_kind() == OpKind::NearBranch64 {
        formatter.format_mnemonic(instruction, &mut text);
        return format!("{text}\t{:#x}", instruction.near_branch64());
    }
    formatter.format(instruction, &mut text);
    // As LLVM writes it.
    let text = if text == "leaveq" { "leave".to_owned() } else { text };
    text.replacen(' ', "\t", 1)
}

struct Programs {
    programs: Vec<Program>,
    many: bool,
    opcodes: bool,
}

impl Show for Programs {
    fn plain(&self, out: &mut Vec<u8>) {
        let mut text = String::new();
        for (at, program) in self.programs.iter().enumerate() {
            if self.many {
                let info = &program.listing.info;
                let gap = if at > 0 { "\n" } else { "" };
                text += &format!("{gap}{}: {}\n", info.id, info.name);
            }
            for function in &program.functions {
                self.function(&program.listing, function, &mut text);
            }
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        if self.many {
            out.begin_array();
        }
        for program in &self.programs {
            if self.many {
                out.begin_object();
                number(out, "id", program.listing.info.id);
                out.name("insns");
            }
            out.begin_array();
            for function in &program.functions {
                self.function_json(&program.listing, function, out);
            }
            out.end_array();
            if self.many {
                out.end_object();
            }
        }
        if self.many {
            out.end_array();
        }
    }
}

impl Programs {
    fn function(&self, listing: &Listing, function: &Function, text: &mut String) {
        if let Some(prototype) = &function.prototype {
            *text += &format!("{prototype}:\n");
        }
        *text += &format!("{}:\n", function.name);
        for row in &function.rows {
            if let Some(line) = &row.line {
                let place =
                    if listing.linum { format!(" {}", line.place()) } else { String::new() };
                *text += &format!("; {}{place}\n", line.text);
            }
            *text += &format!("{:4x}:\t{}\n", row.offset, row.text);
            if self.opcodes {
                *text += &format!("\t{} \n", opcodes(&row.bytes));
            }
        }
        text.push('\n');
    }

    fn function_json(&self, listing: &Listing, function: &Function, out: &mut JsonText) {
        out.begin_object();
        if let Some(prototype) = &function.prototype {
            string(out, "proto", prototype);
        }
        string(out, "name", &function.name);
        out.name("insns");
        out.begin_array();
        for row in &function.rows {
            out.begin_object();
            if let Some(line) = &row.line {
                super::dump::line_json(line, listing.linum, out);
            }
            string(out, "pc", &format!("{:#x}", row.offset));
            self.operation(row, out);
            out.end_object();
        }
        out.end_array();
        out.end_object();
    }

    fn operation(&self, row: &Row, out: &mut JsonText) {
        let mut parts = row.text.split([' ', '\t', ',', '(', ')']).filter(|part| !part.is_empty());
        string(out, "operation", parts.next().unwrap_or_default());
        out.name("operands");
        out.begin_array();
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            out.raw(format_args!("null"));
        }
        parts.for_each(|part| out.string(part));
        out.end_array();
        if self.opcodes {
            out.name("opcodes");
            crate::hex::json(&row.bytes, out);
        }
    }
}
