//! One type for equal types.
//!
//! What libbpf's `btf__dedup` merges: equal integers, floats and enums; an enum or struct that is
//! only declared with its definition, if that is the only one of its name or the types around it
//! agree; structs and unions whose graphs are the same; then what refers to the same types. The
//! first of equals stays, in its order. Variables and data sections are never merged.

mod graph;
mod records;

use std::collections::HashMap;

use crate::error::BtfError;
use crate::kind::Kind;
use crate::ty::TypeId;
use crate::write::BtfBuilder;

use graph::Comparison;
use records::Records;

/// Words compared in all; types beyond stay as they are, which is larger and no less right.
const MAX_WORK: u64 = 50_000_000;

impl BtfBuilder {
    /// Merges equal types; the new id of each type by its old one, void's first.
    ///
    /// Only for objects without a base. Strings stay, so that offsets of others into them hold.
    pub fn dedup(&mut self) -> Result<Vec<TypeId>, BtfError> {
        if self.base.is_some() {
            return Err(BtfError::Unsupported("deduplication of split BTF of base types", 1));
        }
        let records = Records::read(self)?;
        let mut dedup = Dedup { parents: (0..=records.count()).collect(), records };
        dedup.merge_plain();
        dedup.merge_composites();
        dedup.resolve_declarations();
        dedup.merge_references()?;
        Ok(dedup.write(self))
    }
}

/// Which types are one.
struct Dedup {
    records: Records,
    /// By id; a type that stays is its own.
    parents: Vec<u32>,
}

impl Dedup {
    /// The type that stands for this one.
    fn root(&mut self, id: u32) -> u32 {
        let mut root = id;
        while self.parents[root as usize] != root {
            root = self.parents[root as usize];
        }
        let mut at = id;
        while at != root {
            at = std::mem::replace(&mut self.parents[at as usize], root);
        }
        root
    }

    fn is_root(&self, id: u32) -> bool {
        self.parents[id as usize] == id
    }

    /// Lets `kept` stand for `id` too.
    fn merge(&mut self, id: u32, kept: u32) {
        let (id, kept) = (self.root(id), self.root(kept));
        self.parents[id as usize] = kept;
    }

    fn ids(&self) -> std::ops::RangeInclusive<u32> {
        1..=self.records.count()
    }

    /// Kinds that refer to nothing.
    fn merge_plain(&mut self) {
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut enums: HashMap<[u32; 3], u32> = HashMap::new();
        let mut declared = Vec::new();
        for id in self.ids() {
            let kind = self.records.kind(id);
            if !kind.is_enum() && !matches!(kind, Kind::Int | Kind::Float | Kind::Fwd) {
                continue;
            }
            let first = *known.entry(self.records.of(id).to_vec()).or_insert(id);
            self.merge(id, first);
            if first == id && kind.is_enum() && self.records.name(id) != 0 {
                match self.records.entries(id) {
                    0 => declared.push(id),
                    _ => _ = enums.entry(self.enum_key(id)).or_insert(id),
                }
            }
        }
        for id in declared {
            if let Some(defined) = enums.get(&self.enum_key(id)) {
                self.merge(id, *defined);
            }
        }
    }

    /// What a declaration and a definition of an enum share.
    fn enum_key(&self, id: u32) -> [u32; 3] {
        [self.records.name(id), self.records.kind_and_flag(id), self.records.size(id)]
    }

    fn merge_composites(&mut self) {
        let mut work = MAX_WORK;
        let mut known: HashMap<Vec<u32>, Vec<u32>> = HashMap::new();
        for id in self.ids() {
            if !self.records.kind(id).is_composite() || !self.is_root(id) {
                continue;
            }
            let alike = known.entry(self.records.shallow(id)).or_default();
            for &first in alike.iter() {
                if work == 0 {
                    return;
                }
                if let Some(pairs) = Comparison::new(self, &mut work).same(first, id) {
                    pairs.into_iter().for_each(|(old, new)| self.merge(new, old));
                    break;
                }
            }
            if self.is_root(id) {
                alike.push(id);
            }
        }
    }

    /// A struct that is only declared is the only one of its name.
    fn resolve_declarations(&mut self) {
        let mut by_name: HashMap<u32, Option<u32>> = HashMap::new();
        let named = |dedup: &Dedup, id| dedup.is_root(id) && dedup.records.name(id) != 0;
        for id in self.ids() {
            if self.records.kind(id).is_composite() && named(self, id) {
                let found = by_name.entry(self.records.name(id));
                found.and_modify(|found| *found = None).or_insert(Some(id));
            }
        }
        for id in self.ids() {
            if self.records.kind(id) != Kind::Fwd || !named(self, id) {
                continue;
            }
            let found = by_name.get(&self.records.name(id)).copied().flatten();
            if let Some(found) = found.filter(|found| self.declares(id, *found)) {
                self.merge(id, found);
            }
        }
    }

    /// Whether a FWD may stand for this type.
    fn declares(&self, fwd: u32, id: u32) -> bool {
        let records = &self.records;
        let kind = if records.flag(fwd) { Kind::Union } else { Kind::Struct };
        records.kind(id) == kind && records.name(id) == records.name(fwd)
    }

    /// Pointers, typedefs, prototypes and the like, once what they refer to is settled.
    fn merge_references(&mut self) -> Result<(), BtfError> {
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut settled = vec![false; self.parents.len()];
        let mut open = vec![false; self.parents.len()];
        let mut stack = Vec::new();
        for start in self.ids() {
            stack.push(start);
            while let Some(&id) = stack.last() {
                let index = id as usize;
                if id == 0 || settled[index] || !is_reference(self.records.kind(id)) {
                    stack.pop();
                    continue;
                }
                if !std::mem::replace(&mut open[index], true) {
                    let before = stack.len();
                    for target in self.records.refs(id) {
                        if target != 0 && open[target as usize] && !settled[target as usize] {
                            return Err(BtfError::TooDeep(TypeId(target)));
                        }
                        stack.push(target);
                    }
                    stack[before..].reverse();
                    continue;
                }
                let words = self.canonical(id);
                let first = *known.entry(words).or_insert(id);
                self.merge(id, first);
                settled[index] = true;
                stack.pop();
            }
        }
        Ok(())
    }

    fn canonical(&mut self, id: u32) -> Vec<u32> {
        let targets: Vec<u32> = self.records.refs(id).collect();
        let mut targets = targets.into_iter().map(|target| self.root(target)).collect::<Vec<_>>();
        let mut targets = targets.drain(..);
        self.records.with_refs(id, |_| targets.next().unwrap_or_default())
    }

    fn write(&mut self, builder: &mut BtfBuilder) -> Vec<TypeId> {
        let mut next = 0;
        let mut numbers = vec![0; self.parents.len()];
        for id in self.ids().filter(|id| self.parents[*id as usize] == *id) {
            next += 1;
            numbers[id as usize] = next;
        }
        let numbers: Vec<u32> =
            (0..=self.records.count()).map(|id| numbers[self.root(id) as usize]).collect();
        builder.types.clear();
        builder.offsets.clear();
        for id in self.ids().filter(|id| self.parents[*id as usize] == *id) {
            // No longer than it was, so 32 bits do.
            builder.offsets.push(builder.types.len() as u32);
            let words = self.records.with_refs(id, |target| numbers[target as usize]);
            builder.types.extend(words.into_iter().flat_map(u32::to_le_bytes));
        }
        numbers.into_iter().map(TypeId).collect()
    }
}

/// Kinds that are equal when they refer to the same types.
fn is_reference(kind: Kind) -> bool {
    matches!(kind, Kind::Ptr | Kind::Array | Kind::Func | Kind::FuncProto | Kind::DeclTag)
        || kind.is_modifier()
}
