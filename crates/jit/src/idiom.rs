//! Computations that one machine instruction does: counting bits by masks.
//!
//! The last instruction of the idiom is found by its shape, its operands are followed backwards
//! inside the block, and the tree they make is compared with the known one. If nothing else uses
//! what lies between, the whole goes.

use isa::{AluOp, Imm64, Op, Reg, Src, Width};

use crate::{
    flow::{Block, Flow, Func, NONE},
    ins::{Code, Effect, Ins, Set},
};

/// Instructions that a tree is looked for in, backwards.
const REACH: u32 = 64;
/// Different nodes of a tree.
const MAX_NODES: usize = 32;

/// A node by its position among [`Finder::nodes`]: equal ones have the same.
type Id = u8;

/// What a register holds, as far as the block tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tree {
    Const(u64),
    /// The result of the instruction at this slot, or what the register held before the block.
    Leaf {
        reg: u8,
        defined: Option<u32>,
    },
    Node(AluOp, [Id; 2]),
}

/// Blocks looked at for a constant.
const MAX_BLOCKS: usize = 16;

/// Rewrites the idioms of all functions.
pub(crate) fn rewrite(code: &mut Code, flow: &Flow) {
    for func in &flow.funcs {
        let seeds = seeds(code, func);
        if seeds.is_empty() {
            continue;
        }
        let preds = predecessors(flow, func);
        for pc in seeds {
            // Blocks are in the order of their slots.
            let after = flow.blocks.partition_point(|b| b.start <= pc);
            let Some(b) = after.checked_sub(1) else { continue };
            let mut finder = Finder {
                code,
                flow,
                entry: func.first_block,
                preds: &preds,
                b: b as u32,
                pc,
                parts: Vec::new(),
                nodes: Vec::new(),
            };
            if let Some((width, x)) = finder.count_of_bits() {
                let parts = finder.parts.into_iter().map(|(at, _)| at).collect();
                replace(code, flow, &flow.blocks[b], pc, width, x, parts);
            }
        }
    }
}

/// Edges of a function as pairs of target and origin, by target.
fn predecessors(flow: &Flow, func: &Func) -> Vec<(u32, u32)> {
    let mut edges = Vec::new();
    for b in func.first_block..func.last_block {
        let block = &flow.blocks[b as usize];
        let targets = [block.jump, block.next].into_iter().filter(|to| *to != NONE);
        edges.extend(targets.map(|to| (to, b)));
    }
    edges.sort_unstable();
    edges
}

/// Shifts that may be the end of a count.
fn seeds(code: &Code, func: &Func) -> Vec<u32> {
    let is_seed = |pc: &u32| matches!(shift(&code.slots[*pc as usize]), Some((_, 24 | 56)));
    (func.start..func.end).filter(is_seed).collect()
}

fn shift(ins: &Ins) -> Option<(Width, i32)> {
    match ins {
        Ins::Op { op: Op::Alu { width, op: AluOp::Rsh, src: Src::Imm(n), .. }, .. } => {
            Some((*width, *n))
        }
        _ => None,
    }
}

/// The constant that an instruction loads.
fn loaded(ins: &Ins) -> Option<u64> {
    match *ins {
        Ins::Op { op: Op::LdImm64 { imm: Imm64::Value(value), .. }, .. } => Some(value),
        Ins::Op { op: Op::Alu { width, op: AluOp::Mov, src: Src::Imm(imm), .. }, .. } => {
            Some(extend(width, imm))
        }
        _ => None,
    }
}

fn extend(width: Width, imm: i32) -> u64 {
    match width {
        Width::W32 => imm as u32 as u64,
        Width::W64 => imm as i64 as u64,
    }
}

struct Finder<'a> {
    code: &'a Code,
    flow: &'a Flow,
    entry: u32,
    preds: &'a [(u32, u32)],
    /// The block, and the slot of the last instruction.
    b: u32,
    pc: u32,
    /// Slots that make up the tree, with what they compute.
    parts: Vec<(u32, Id)>,
    nodes: Vec<Tree>,
}

impl Finder<'_> {
    /// If the shift ends a count of the bits of some register: its width, and that register.
    fn count_of_bits(&mut self) -> Option<(Width, Tree)> {
        let (width, n) = shift(&self.code.slots[self.pc as usize])?;
        let bits = if width == Width::W64 { 64 } else { 32 };
        if n != bits - 8 {
            return None;
        }
        let tree = self.result(self.pc, width)?;
        let x = Nodes(&self.nodes).counted(tree, width, bits)?;
        Some((width, self.nodes[usize::from(x)]))
    }

    fn intern(&mut self, tree: Tree) -> Option<Id> {
        let place = self.nodes.iter().position(|known| *known == tree);
        let id = place.unwrap_or(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(tree);
        }
        (id < MAX_NODES).then_some(id as Id)
    }

    /// What the instruction at `pc` computes.
    fn result(&mut self, pc: u32, width: Width) -> Option<Id> {
        if let Some((_, known)) = self.parts.iter().find(|(at, _)| *at == pc) {
            return Some(*known);
        }
        let Ins::Op { op: Op::Alu { width: w, op, dst, src }, .. } = self.code.slots[pc as usize]
        else {
            return None;
        };
        if w != width {
            return None;
        }
        let right = match src {
            Src::Imm(imm) => self.intern(Tree::Const(extend(width, imm)))?,
            Src::Reg(reg) => self.value(reg, pc, width)?,
        };
        let id = if op == AluOp::Mov {
            right
        } else {
            let left = self.value(dst, pc, width)?;
            self.intern(Tree::Node(op, [left, right]))?
        };
        self.parts.push((pc, id));
        Some(id)
    }

    /// What `reg` holds before slot `pc`.
    fn value(&mut self, reg: Reg, pc: u32, width: Width) -> Option<Id> {
        let bit: Set = 1 << reg.0;
        let start = self.flow.blocks[self.b as usize].start;
        let first = start.max(self.pc.saturating_sub(REACH));
        let writes = |at: &u32| self.code.effects[*at as usize].writes & bit != 0;
        let tree = match (first..pc).rev().find(writes) {
            Some(at) if self.is_part(at, width) => return self.result(at, width),
            Some(at) => match loaded(&self.code.slots[at as usize]) {
                Some(value) => Tree::Const(value),
                None => Tree::Leaf { reg: reg.0, defined: Some(at) },
            },
            None if first != start => return None,
            None => match self.constant(bit) {
                Some(value) => Tree::Const(value),
                None => Tree::Leaf { reg: reg.0, defined: None },
            },
        };
        self.intern(tree)
    }

    /// The constant that a register holds on every way into the block.
    fn constant(&self, bit: Set) -> Option<u64> {
        let (mut seen, mut at, mut value) = (vec![self.b], 0, None);
        while let Some(&b) = seen.get(at) {
            at += 1;
            let first = self.preds.partition_point(|(to, _)| *to < b);
            let edges = self.preds[first..].iter().take_while(|(to, _)| *to == b);
            let mut entered = false;
            for &(_, pred) in edges {
                entered = true;
                let Block { start, end, .. } = self.flow.blocks[pred as usize];
                let write =
                    (start..end).rev().find(|at| self.code.effects[*at as usize].writes & bit != 0);
                match write {
                    Some(at) => {
                        let found = loaded(&self.code.slots[at as usize])?;
                        if value.is_some_and(|value| value != found) {
                            return None;
                        }
                        value = Some(found);
                    }
                    None if seen.contains(&pred) => {}
                    None if seen.len() >= MAX_BLOCKS => return None,
                    None => seen.push(pred),
                }
            }
            // Callers leave anything.
            if !entered || b == self.entry {
                return None;
            }
        }
        value
    }

    /// Whether the instruction may be part of a tree and not its leaf.
    fn is_part(&self, at: u32, width: Width) -> bool {
        matches!(
            self.code.slots[at as usize],
            Ins::Op { op: Op::Alu { width: w, op, .. }, .. } if w == width && matches!(
                op,
                AluOp::Mov | AluOp::Add | AluOp::Sub | AluOp::And | AluOp::Rsh | AluOp::Mul
            )
        )
    }
}

/// Trees to take apart.
struct Nodes<'a>(&'a [Tree]);

impl Nodes<'_> {
    /// `x`, if `tree` is the sum of its bits: pairs, fours, bytes, and a multiplication that adds
    /// up the bytes.
    fn counted(&self, tree: Id, width: Width, bits: i32) -> Option<Id> {
        let mask = |byte: u64| {
            let all = byte * 0x0101_0101_0101_0101;
            if width == Width::W64 { all } else { all as u32 as u64 }
        };
        let product = self.node(tree, AluOp::Rsh, (bits - 8) as u64)?;
        let bytes = self.node(product, AluOp::Mul, mask(0x01))?;
        let sum = self.node(bytes, AluOp::And, mask(0x0f))?;
        let fours = self.either(sum, |a, b| (self.node(b, AluOp::Rsh, 4)? == a).then_some(a))?;
        let pairs = self.either(fours, |a, b| {
            let low = self.node(a, AluOp::And, mask(0x33))?;
            let high = self.node(b, AluOp::And, mask(0x33))?;
            (self.node(high, AluOp::Rsh, 2)? == low).then_some(low)
        })?;
        let Tree::Node(AluOp::Sub, [x, odd]) = self.0[usize::from(pairs)] else { return None };
        let odd = self.node(odd, AluOp::And, mask(0x55))?;
        let half = self.node(odd, AluOp::Rsh, 1)?;
        (half == x && matches!(self.0[usize::from(x)], Tree::Leaf { .. })).then_some(x)
    }

    /// The other operand of an `op` one of whose operands is `wanted`; the right one of shifts.
    fn node(&self, tree: Id, op: AluOp, wanted: u64) -> Option<Id> {
        let is = |id: Id| self.0[usize::from(id)] == Tree::Const(wanted);
        match self.0[usize::from(tree)] {
            Tree::Node(found, _) if found != op => None,
            Tree::Node(_, [a, b]) if is(b) => Some(a),
            Tree::Node(_, [a, b]) if is(a) && op != AluOp::Rsh => Some(b),
            _ => None,
        }
    }

    /// `test` of the operands of a sum, in one order or the other.
    fn either(&self, tree: Id, test: impl Fn(Id, Id) -> Option<Id>) -> Option<Id> {
        match self.0[usize::from(tree)] {
            Tree::Node(AluOp::Add, [a, b]) => test(a, b).or_else(|| test(b, a)),
            _ => None,
        }
    }
}

/// Puts one instruction at `pc` in place of `parts`, if nothing else uses them.
fn replace(
    code: &mut Code,
    flow: &Flow,
    block: &Block,
    pc: u32,
    width: Width,
    x: Tree,
    mut parts: Vec<u32>,
) {
    let Tree::Leaf { reg, defined } = x else { return };
    parts.sort_unstable();
    parts.dedup();
    let Some(&first) = parts.first() else { return };
    let from = defined.map_or(block.start, |at| at + 1).min(first);
    let (mut computed, x_bit): (Set, Set) = (0, 1 << reg);
    for at in from..pc {
        let Effect { reads, writes } = code.effects[at as usize];
        if parts.binary_search(&at).is_ok() {
            computed |= writes;
        } else if reads & computed != 0 || writes & x_bit != 0 {
            return;
        } else {
            computed &= !writes;
        }
    }
    let Ins::Op { op: Op::Alu { dst, .. }, .. } = code.slots[pc as usize] else { return };
    let mut live = Vec::new();
    flow.live_after(code, block, &mut live);
    if live[(pc - block.start) as usize] & computed & !(1 << dst.0) != 0 {
        return;
    }
    for at in parts {
        code.slots[at as usize] = Ins::Second;
        code.effects[at as usize] = Effect::default();
    }
    let count = Ins::CountBits { width, dst, src: Reg(reg) };
    code.slots[pc as usize] = count;
    code.effects[pc as usize] = count.effect();
}
