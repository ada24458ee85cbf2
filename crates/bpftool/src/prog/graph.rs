//! `prog dump xlated visual`: the control flow in the language of Graphviz.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::dump::Listing;

const CALL: u8 = 0x85;
const PSEUDO_CALL: u8 = 1;
/// Numbers of the blocks that hold no instructions: entry and exit.
const ENTRY: usize = 0;
const EXIT: usize = 1;
const FIRST: usize = 2;

/// A function's blocks, by first and last slot.
struct Function {
    start: usize,
    blocks: Vec<(usize, usize)>,
}

/// The whole program, a cluster for each function.
pub(crate) fn draw(listing: &Listing) -> String {
    let mut out = String::from("digraph \"DOT graph for eBPF program\" {\n");
    for (at, function) in functions(listing).iter().enumerate() {
        // Writing to a string does not fail.
        let _ = cluster(listing, at, function, &mut out);
    }
    out.push_str("}\n");
    out
}

fn functions(listing: &Listing) -> Vec<Function> {
    let insns = &listing.info.xlated;
    let mut starts = BTreeSet::from([0]);
    for (pc, insn) in insns.iter().enumerate() {
        if insn.code == CALL && insn.src().0 == PSEUDO_CALL {
            let target = pc as i64 + 1 + listing.call_offset(insn);
            starts.extend(usize::try_from(target).ok().filter(|target| *target < insns.len()));
        }
    }
    let starts: Vec<usize> = starts.into_iter().collect();
    let ends = starts.iter().skip(1).copied().chain([insns.len()]);
    starts.iter().zip(ends).map(|(start, end)| function(listing, *start, end)).collect()
}

fn function(listing: &Listing, start: usize, end: usize) -> Function {
    let mut heads = BTreeSet::from([start]);
    for pc in start..end {
        let Some(to) = jump(listing, pc) else { continue };
        let next = (!to.always).then_some(pc + 1);
        heads
            .extend([to.target, next].into_iter().flatten().filter(|at| (start..end).contains(at)));
    }
    let heads: Vec<usize> = heads.into_iter().collect();
    let ends = heads.iter().skip(1).copied().chain([end]);
    Function { start, blocks: heads.iter().copied().zip(ends.map(|end| end - 1)).collect() }
}

struct Jump {
    target: Option<usize>,
    always: bool,
}

/// Where the jump at `pc` goes; calls and exits are none.
fn jump(listing: &Listing, pc: usize) -> Option<Jump> {
    let insn = listing.info.xlated[pc];
    let operation = insn.code & 0xf0;
    if !matches!(insn.class(), 5 | 6) || matches!(operation, 0x80 | 0x90) {
        return None;
    }
    let always = operation == 0;
    let off = if insn.code == 0x06 { i64::from(insn.imm) } else { i64::from(insn.off) };
    Some(Jump { target: usize::try_from(pc as i64 + 1 + off).ok(), always })
}

fn cluster(
    listing: &Listing,
    at: usize,
    function: &Function,
    out: &mut String,
) -> std::fmt::Result {
    writeln!(out, "subgraph \"cluster_{at}\" {{")?;
    out.push_str("\tstyle=\"dashed\";\n\tcolor=\"black\";\n");
    writeln!(out, "\tlabel=\"func_{at} ()\";")?;
    writeln!(out, "\tfn_{at}_bb_{ENTRY} [shape=Mdiamond,style=filled,label=\"ENTRY\"];\n")?;
    for (number, block) in function.blocks.iter().enumerate() {
        let id = number + FIRST;
        writeln!(out, "\tfn_{at}_bb_{id} [shape=record,style=filled,label=\"{{\\")?;
        insns(listing, function, *block, out)?;
        out.push_str("}\"];\n\n");
    }
    writeln!(out, "\tfn_{at}_bb_{EXIT} [shape=Mdiamond,style=filled,label=\"EXIT\"];\n")?;
    let style = "[style=\"solid,bold\", color=black, weight=10, constraint=true]";
    for (from, to) in edges(listing, function) {
        writeln!(out, "\tfn_{at}_bb_{from}:s -> fn_{at}_bb_{to}:n {style};")?;
    }
    let hidden = "[style=\"invis\", constraint=true]";
    writeln!(out, "\tfn_{at}_bb_{ENTRY}:s -> fn_{at}_bb_{EXIT}:n {hidden};")?;
    out.push_str("}\n");
    Ok(())
}

fn edges(listing: &Listing, function: &Function) -> Vec<(usize, usize)> {
    let mut edges = vec![(ENTRY, FIRST)];
    let last = function.blocks.len() + FIRST - 1;
    for (number, block) in function.blocks.iter().enumerate() {
        let id = number + FIRST;
        let next = if id == last { EXIT } else { id + 1 };
        match jump(listing, block.1) {
            None => edges.push((id, next)),
            Some(jump) => {
                if !jump.always {
                    edges.push((id, next));
                }
                let head = |target| function.blocks.iter().position(|block| block.0 == target);
                edges.extend(jump.target.and_then(head).map(|to| (id, to + FIRST)));
            }
        }
    }
    edges
}

/// A block's instructions. bpftool counts slots, and looks up lines, from the start of the
/// function, not of the program.
fn insns(
    listing: &Listing,
    function: &Function,
    block: (usize, usize),
    out: &mut String,
) -> std::fmt::Result {
    let mut pc = block.0;
    let mut last = None;
    while pc <= block.1 {
        let at = pc - function.start;
        if pc > block.0 {
            out.push_str("| ");
        }
        if let Some(prototype) = listing.prototype(at) {
            writeln!(out, "; {prototype}:\\l\\")?;
        }
        let line = listing.line(at, 0);
        let place = line.map(std::ptr::from_ref);
        if let (Some(line), true) = (line, place != last) {
            if let Some(line) = listing.line_text(line) {
                let text = escape(&line.text, " <>{}|\"\\");
                let place =
                    if listing.linum { format!(" {}", line.place()) } else { String::new() };
                writeln!(out, "; {text}{}\\l\\", escape(&place, "<>{}|\""))?;
            }
            last = place;
        }
        writeln!(out, "{at}: {}\\l\\", escape(&listing.insn(pc), "<>|&"))?;
        pc += listing.width(pc);
    }
    Ok(())
}

fn escape(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
