//! Whether two structs are the same, all the way down.

use std::collections::{HashMap, HashSet};

use crate::kind::Kind;

use super::Dedup;

/// One comparison of two graphs. All pairs met are taken for equal until one is not, which is
/// what makes types equal that refer to themselves.
pub(super) struct Comparison<'d, 'w> {
    dedup: &'d mut Dedup,
    work: &'w mut u64,
    stack: Vec<(u32, u32)>,
    met: HashSet<(u32, u32)>,
    /// What each declaration stands for; one thing only.
    declared: HashMap<u32, u32>,
}

impl<'d, 'w> Comparison<'d, 'w> {
    pub(super) fn new(dedup: &'d mut Dedup, work: &'w mut u64) -> Comparison<'d, 'w> {
        let (stack, met) = (Vec::new(), HashSet::new());
        Comparison { dedup, work, stack, met, declared: HashMap::new() }
    }

    /// If the two are the same, the pairs of types (the one that stays first) that are one.
    pub(super) fn same(mut self, first: u32, second: u32) -> Option<Vec<(u32, u32)>> {
        self.stack.push((first, second));
        while let Some((one, other)) = self.stack.pop() {
            let (one, other) = (self.dedup.root(one), self.dedup.root(other));
            if one != other && self.met.insert((one, other)) && !self.alike(one, other) {
                return None;
            }
        }
        let records = &self.dedup.records;
        let composite = |pair: &(u32, u32)| {
            records.kind(pair.0).is_composite() && records.kind(pair.1).is_composite()
        };
        let met = self.met.into_iter().filter(composite);
        let mut pairs: Vec<_> = met.map(|(one, other)| (one.min(other), one.max(other))).collect();
        pairs.sort_unstable();
        let mut declared: Vec<_> = self.declared.into_iter().map(|(fwd, id)| (id, fwd)).collect();
        declared.sort_unstable();
        pairs.extend(declared);
        Some(pairs)
    }

    /// Compares two types but for those they refer to, which are put on the stack.
    fn alike(&mut self, one: u32, other: u32) -> bool {
        if one == 0 || other == 0 {
            return false;
        }
        let records = &self.dedup.records;
        let (words, others) = (records.of(one), records.of(other));
        *self.work = self.work.saturating_sub(words.len() as u64);
        if *self.work == 0 {
            return false;
        }
        match (records.kind(one), records.kind(other)) {
            (Kind::Fwd, Kind::Fwd) => return false,
            (Kind::Fwd, _) => return self.declare(one, other),
            (_, Kind::Fwd) => return self.declare(other, one),
            (a, b) if a != b || matches!(a, Kind::Var | Kind::Datasec) => return false,
            (kind, _) if kind.is_enum() => {
                // Equal ones are one already: this is a declaration, or they differ.
                let is_declared = records.entries(one) == 0 || records.entries(other) == 0;
                return is_declared && self.dedup.enum_key(one) == self.dedup.enum_key(other);
            }
            _ => {}
        }
        if words.len() != others.len() || records.shallow(one) != records.shallow(other) {
            return false;
        }
        self.stack.extend(records.refs(one).zip(records.refs(other)));
        true
    }

    fn declare(&mut self, fwd: u32, id: u32) -> bool {
        self.dedup.declares(fwd, id) && *self.declared.entry(fwd).or_insert(id) == id
    }
}
