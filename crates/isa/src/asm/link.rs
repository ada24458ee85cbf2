//! Places statements in slots and resolves labels.

use std::collections::BTreeMap;

use super::parse::{Line, Statement};
use super::{AsmError, Assembly, Symbols};
use crate::{Callee, Imm64, Op, encode};

pub(super) struct Linker<'a> {
    symbols: &'a dyn Symbols,
    statements: Vec<(usize, Statement<'a>)>,
    labels: BTreeMap<&'a str, usize>,
    slots: usize,
}

impl<'a> Linker<'a> {
    pub(super) fn new(symbols: &'a dyn Symbols) -> Linker<'a> {
        Linker { symbols, statements: Vec::new(), labels: BTreeMap::new(), slots: 0 }
    }

    pub(super) fn add(&mut self, line: Line<'a>) -> Result<(), AsmError> {
        for (name, at) in line.labels {
            if self.labels.insert(name, self.slots).is_some() {
                return Err(at.error(format!("label `{name}` is defined twice")));
            }
        }
        if let Some(statement) = line.statement {
            let start = self.slots;
            self.slots += statement.op.slots();
            self.statements.push((start, statement));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Assembly, AsmError> {
        let mut out = Assembly::default();
        for (start, statement) in &self.statements {
            let op = self.resolve(*start, statement)?;
            encode(&op, &mut out.insns).map_err(|e| statement.at.error(e.to_string()))?;
            out.lines.resize(out.insns.len(), statement.at.line);
            let (code, at) = (out.insns[*start].code, statement.at);
            if let Some(said) = statement.code.filter(|said| *said != code) {
                let message = format!("this is opcode {code:02x}, not ({said:02x})");
                return Err(at.error(message));
            }
        }
        out.labels = self.labels.into_iter().map(|(name, slot)| (name.to_owned(), slot)).collect();
        Ok(out)
    }

    fn resolve(&self, start: usize, statement: &Statement<'a>) -> Result<Op, AsmError> {
        let Some((name, at)) = statement.target else { return Ok(statement.op) };
        let Some(slot) = self.labels.get(name) else {
            let callee = match statement.op {
                Op::Call(_) => self.symbols.callee(name, None),
                _ => None,
            };
            let missing = || at.error(format!("no label `{name}`"));
            return callee.map(Op::Call).ok_or_else(missing);
        };
        let distance = *slot as i64 - (start as i64 + 1);
        retarget(statement.op, distance).ok_or_else(|| {
            let hint = if matches!(statement.op, Op::Ja { .. }) { "; use gotol" } else { "" };
            at.error(format!("label `{name}` is {distance} slots away, out of reach{hint}"))
        })
    }
}

/// `op` with its offset replaced; `None` if it has no room for it.
fn retarget(op: Op, distance: i64) -> Option<Op> {
    let (near, far) = (i16::try_from(distance).ok(), i32::try_from(distance).ok());
    Some(match op {
        Op::Ja { long: true, .. } => Op::Ja { long: true, off: far? },
        Op::Ja { long: false, .. } => Op::Ja { long: false, off: near?.into() },
        Op::MayGoto { .. } => Op::MayGoto { off: near? },
        Op::Jmp { width, cond, dst, src, .. } => Op::Jmp { width, cond, dst, src, off: near? },
        Op::Call(_) => Op::Call(Callee::Subprog(far?)),
        Op::LdImm64 { dst, .. } => Op::LdImm64 { dst, imm: Imm64::Func(far?) },
        other => other,
    })
}
