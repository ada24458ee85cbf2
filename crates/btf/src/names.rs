//! Finding types by name: a hash index built on first use.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use crate::blob::Btf;
use crate::kind::Kind;
use crate::ty::TypeId;

/// The part of a type's name before a CO-RE flavour suffix: `task_struct` of `task_struct___old`.
///
/// The suffix is the last `___` that has something other than `_` on both sides.
#[must_use]
pub fn essential_name(name: &str) -> &str {
    // An ASCII '_' follows, so this is a character boundary.
    name.get(..essential(name.as_bytes()).len()).unwrap_or(name)
}

/// [`essential_name`] of bytes; most names have no suffix, which a look for one `_` tells.
fn essential(name: &[u8]) -> &[u8] {
    let is_separator = |window: &[u8]| matches!(window, [before, b'_', b'_', b'_', after] if *before != b'_' && *after != b'_');
    for at in memchr::memrchr_iter(b'_', name) {
        // The last `_` of a separator: two before it, one name's byte on either side.
        let Some(start) = at.checked_sub(3) else { break };
        if name.get(start..at + 2).is_some_and(is_separator) {
            return &name[..=start];
        }
    }
    name
}

/// Own types of one BTF object chained by the hash of their essential name, lowest id first.
#[derive(Debug, Clone)]
pub(crate) struct NameIndex {
    /// First own index plus one in each bucket; 0 ends a chain.
    heads: Vec<u32>,
    next: Vec<u32>,
}

impl NameIndex {
    pub(crate) fn build(btf: &Btf) -> NameIndex {
        let first = btf.first_id().0;
        let count = btf.type_count() + 1 - first;
        let buckets = (count as usize).next_power_of_two().max(16);
        let mut index = NameIndex { heads: vec![0; buckets], next: vec![0; count as usize] };
        for own in (0..count).rev() {
            let name = btf.own_name_bytes(own).unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            let bucket = index.bucket(essential(name));
            index.next[own as usize] = index.heads[bucket];
            index.heads[bucket] = own + 1;
        }
        index
    }

    fn bucket(&self, essential: &[u8]) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(essential);
        // The upper half mixes better than the lower in a multiplicative hash.
        let hash = hasher.finish();
        ((hash >> 32) ^ hash) as usize & (self.heads.len() - 1)
    }

    fn chain(&self, essential: &str) -> impl Iterator<Item = u32> {
        let head = self.heads[self.bucket(essential.as_bytes())].checked_sub(1);
        std::iter::successors(head, |&at| self.next[at as usize].checked_sub(1))
    }
}

impl Btf {
    /// The lowest id with this name and kind.
    #[must_use]
    pub fn find_by_name(&self, name: &str, kind: Kind) -> Option<TypeId> {
        if let Some(found) = self.base().and_then(|base| base.find_by_name(name, kind)) {
            return Some(found);
        }
        self.own_chain(essential_name(name))
            .find(|&id| self.kind(id) == Some(kind) && self.name_of(id) == name)
    }

    /// All ids with this name, in id order.
    #[must_use]
    pub fn find_all_by_name(&self, name: &str) -> Vec<TypeId> {
        self.find_chained(essential_name(name), &|found| found == name)
    }

    /// All ids whose name is this one but for a CO-RE flavour suffix (`name___flavour`).
    #[must_use]
    pub fn find_all_by_essential_name(&self, essential: &str) -> Vec<TypeId> {
        self.find_chained(essential, &|found| essential_name(found) == essential)
    }

    fn find_chained(&self, essential: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<TypeId> {
        let mut found = match self.base() {
            Some(base) => base.find_chained(essential, wanted),
            None => Vec::new(),
        };
        found.extend(self.own_chain(essential).filter(|&id| wanted(self.name_of(id))));
        found
    }

    fn own_chain(&self, essential: &str) -> impl Iterator<Item = TypeId> {
        let first = self.first_id().0;
        self.name_index().chain(essential).map(move |own| TypeId(first + own))
    }

    /// The name of a type, empty if it has none or does not exist.
    #[must_use]
    pub fn name_of(&self, id: TypeId) -> &str {
        self.head(id).and_then(|head| self.string(head.name_off)).unwrap_or("")
    }
}
