//! Objects that programs allocate or hold: structures of their own, sets of CPUs, and the lists
//! and trees that link them.
//!
//! What a program sees of an object is its memory; who owns it, how often it is held and what
//! links it is kept here beside, so that nothing a program writes can lead a helper astray. Memory
//! that was given back stays until every run that might still look at it has ended ([`Pin`]).

mod tree;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use btf::fields::{FieldKind, Record};
use interp::Region;
use parking_lot::Mutex;

use tree::Tree;

/// Bytes that all objects together may take.
const MAX_BYTES: usize = 256 << 20;
/// Bytes of the largest object, as of Linux's allocator: a page less its link.
const MAX_OBJECT: usize = 4096 - 8;

/// What an object is made of.
#[derive(Debug, Default)]
pub(crate) struct ObjectType {
    /// Bytes of the structure.
    pub(crate) size: usize,
    /// Special fields in it.
    pub(crate) record: Record,
}

/// What an object is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A structure of a program, this many copies of it.
    Own(Arc<ObjectType>, usize),
    /// A set of CPUs.
    Cpus,
    /// An object of the kernel's: its kind, number and path.
    Kernel(&'static str, u64, String),
}

/// An object of the kernel's that is to be.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    /// Objects that it points to and that go with it.
    pub(crate) owned: Vec<u64>,
    pub(crate) path: String,
}

struct Object {
    kind: Kind,
    owned: Vec<u64>,
    refs: u32,
    /// Given back: it only waits for runs to end.
    dead: bool,
    memory: Box<[AtomicU64]>,
}

impl Object {
    fn bytes(&self) -> usize {
        self.memory.len() * 8
    }

    fn record(&self) -> Option<Arc<ObjectType>> {
        match &self.kind {
            Kind::Own(ty, _) => Some(ty.clone()),
            _ => None,
        }
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<u64, Object>,
    /// Nodes of lists, by the address of the head.
    lists: HashMap<u64, VecDeque<u64>>,
    trees: HashMap<u64, Tree>,
    /// Where a node is linked: the address of head or root.
    owners: HashMap<u64, u64>,
    /// Objects of the kernel's, by kind and number.
    known: HashMap<(&'static str, u64), u64>,
    phase: usize,
    pins: [u32; 2],
    limbo: [Vec<u64>; 2],
    bytes: usize,
}

/// All objects.
#[derive(Default)]
pub(crate) struct Heap {
    state: Mutex<State>,
}

/// While it is held no memory that a run could see goes away.
pub(crate) struct Pin {
    heap: Arc<Heap>,
    phase: usize,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.heap.state.lock();
        state.pins[self.phase] -= 1;
        state.reclaim();
    }
}

/// An object's special field that points to another one.
fn is_owning_pointer(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::KptrRef | FieldKind::KptrPercpu)
}

impl State {
    /// The object that holds this address, with its start.
    fn at(&self, addr: u64) -> Option<(u64, &Object)> {
        let (&start, object) = self.objects.range(..=addr).next_back()?;
        (addr - start < object.bytes() as u64).then_some((start, object))
    }

    fn live(&self, addr: u64) -> Option<u64> {
        self.at(addr).filter(|(_, object)| !object.dead).map(|(start, _)| start)
    }

    /// Frees what nobody can see any more.
    fn reclaim(&mut self) {
        let old = (self.phase + 1) & 1;
        if self.pins[old] != 0 {
            return;
        }
        for addr in std::mem::take(&mut self.limbo[old]) {
            if let Some(gone) = self.objects.remove(&addr) {
                self.bytes -= gone.bytes();
            }
        }
        self.phase = old;
        if self.pins == [0; 2] {
            for addr in std::mem::take(&mut self.limbo[old ^ 1]) {
                if let Some(gone) = self.objects.remove(&addr) {
                    self.bytes -= gone.bytes();
                }
            }
        }
    }

    /// Gives one hold of each of these up, and of all that goes with them.
    fn give_up(&mut self, mut addrs: Vec<u64>) {
        while let Some(addr) = addrs.pop() {
            let Some(object) = self.objects.get_mut(&addr).filter(|object| !object.dead) else {
                continue;
            };
            object.refs = object.refs.saturating_sub(1);
            if object.refs != 0 {
                continue;
            }
            object.dead = true;
            addrs.append(&mut object.owned);
            if let Kind::Kernel(kind, id, _) = &object.kind
                && self.known.get(&(*kind, *id)) == Some(&addr)
            {
                self.known.remove(&(*kind, *id));
            }
            if let Some(ty) = object.record() {
                self.empty(addr, &ty.record, &mut addrs);
            }
            self.limbo[self.phase].push(addr);
        }
        self.reclaim();
    }

    /// Takes what the special fields at `addr` own.
    fn empty(&mut self, addr: u64, record: &Record, owned: &mut Vec<u64>) {
        for field in record {
            let at = addr + u64::from(field.off);
            match field.kind {
                FieldKind::ListHead => {
                    let nodes = self.lists.remove(&at).unwrap_or_default();
                    self.unlinked(nodes.into_iter(), owned);
                }
                FieldKind::RbRoot => {
                    let nodes = self.trees.remove(&at).map(Tree::into_nodes).unwrap_or_default();
                    self.unlinked(nodes.into_iter(), owned);
                }
                FieldKind::ListNode | FieldKind::RbNode => self.unlink(at),
                kind if is_owning_pointer(kind) => {
                    let pointer = self.take_pointer(at);
                    owned.extend(pointer);
                }
                _ => {}
            }
        }
    }

    fn unlinked(&mut self, nodes: impl Iterator<Item = u64>, owned: &mut Vec<u64>) {
        for node in nodes {
            self.owners.remove(&node);
            owned.extend(self.live(node));
        }
    }

    fn unlink(&mut self, node: u64) {
        let Some(owner) = self.owners.remove(&node) else { return };
        if let Some(list) = self.lists.get_mut(&owner) {
            list.retain(|known| *known != node);
        }
        if let Some(tree) = self.trees.get_mut(&owner) {
            tree.remove(node);
        }
    }

    /// The pointer in an object's memory, which is null from now on.
    fn take_pointer(&self, at: u64) -> Option<u64> {
        let (start, object) = self.at(at)?;
        let word = object.memory.get(((at - start) / 8) as usize)?;
        Some(word.swap(0, AcqRel)).filter(|pointer| *pointer != 0)
    }
}

impl Heap {
    /// Keeps memory for a run.
    pub(crate) fn pin(self: &Arc<Heap>) -> Pin {
        let mut state = self.state.lock();
        let phase = state.phase;
        state.pins[phase] += 1;
        Pin { heap: self.clone(), phase }
    }

    /// The memory of the object around an address.
    pub(crate) fn region(&self, addr: u64) -> Option<Region> {
        let state = self.state.lock();
        let (start, object) = state.at(addr)?;
        let writable = !matches!(object.kind, Kind::Kernel(..));
        Some(Region { start, end: start + object.bytes() as u64, writable })
    }

    /// A new object, held once; 0 without room for it.
    pub(crate) fn allocate(&self, kind: Kind) -> u64 {
        let bytes = match &kind {
            Kind::Own(ty, copies) if ty.size <= MAX_OBJECT => ty.size.next_multiple_of(8) * copies,
            Kind::Own(..) => return 0,
            Kind::Cpus => super::helpers::kfunc::CPU_SET,
            Kind::Kernel(..) => return 0,
        };
        self.add(kind, &vec![0; bytes], Vec::new())
    }

    /// An object of the kernel's with this number, held once more; made by `image` if need be.
    pub(crate) fn kernel_object(
        &self,
        kind: &'static str,
        id: u64,
        image: impl FnOnce() -> Option<Made>,
    ) -> u64 {
        let known = self.state.lock().known.get(&(kind, id)).copied();
        if let Some(addr) = known
            && self.hold(addr)
        {
            return addr;
        }
        let Some(Made { bytes, owned, path }) = image() else { return 0 };
        let addr = self.add(Kind::Kernel(kind, id, path), &bytes, owned);
        if addr != 0 {
            self.state.lock().known.insert((kind, id), addr);
        }
        addr
    }

    /// An object of the kernel's that nobody else asks for, held once.
    pub(crate) fn kernel_part(&self, kind: &'static str, made: Made) -> u64 {
        self.add(Kind::Kernel(kind, 0, made.path), &made.bytes, made.owned)
    }

    /// Sets a word of an object that is zero so far.
    pub(crate) fn set_if_zero(&self, at: u64, value: u64) {
        let state = self.state.lock();
        let Some((start, object)) = state.at(at) else { return };
        if let Some(word) = object.memory.get(((at - start) / 8) as usize) {
            let _ = word.compare_exchange(0, value, AcqRel, Acquire);
        }
    }

    /// What the object that holds this address is.
    pub(crate) fn kind_around(&self, addr: u64) -> Option<Kind> {
        self.state.lock().at(addr).map(|(_, object)| object.kind.clone())
    }

    fn add(&self, kind: Kind, bytes: &[u8], owned: Vec<u64>) -> u64 {
        let mut words = Vec::new();
        let len = bytes.len().div_ceil(8).max(1);
        if words.try_reserve_exact(len).is_err() {
            return 0;
        }
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            AtomicU64::new(u64::from_ne_bytes(word))
        };
        words.extend(bytes.chunks(8).map(word));
        words.resize_with(len, AtomicU64::default);
        let memory = words.into_boxed_slice();
        let addr = memory.as_ptr().expose_provenance() as u64;
        let mut state = self.state.lock();
        if state.bytes + 8 * len > MAX_BYTES {
            return 0;
        }
        state.bytes += 8 * len;
        state.objects.insert(addr, Object { kind, owned, refs: 1, dead: false, memory });
        addr
    }

    /// What the object at this very address is, if it is there.
    pub(crate) fn kind(&self, addr: u64) -> Option<Kind> {
        let state = self.state.lock();
        state.objects.get(&addr).filter(|object| !object.dead).map(|object| object.kind.clone())
    }

    /// Holds an object once more; `false` if it is gone.
    pub(crate) fn hold(&self, addr: u64) -> bool {
        let mut state = self.state.lock();
        let Some(object) = state.objects.get_mut(&addr).filter(|object| !object.dead) else {
            return false;
        };
        object.refs = object.refs.saturating_add(1);
        true
    }

    /// Lets go of an object; the last one frees it, with all that it owns.
    pub(crate) fn release(&self, addr: u64) {
        self.state.lock().give_up(vec![addr]);
    }

    /// Frees what the special fields of a value outside own; pointers are told by `take`.
    pub(crate) fn empty(&self, addr: u64, record: &Record, take: impl Fn(u64) -> u64) {
        let mut owned = Vec::new();
        let mut state = self.state.lock();
        for field in record {
            let at = addr + u64::from(field.off);
            if is_owning_pointer(field.kind) {
                owned.extend(Some(take(at)).filter(|pointer| *pointer != 0));
            }
        }
        state.empty(addr, record, &mut owned);
        state.give_up(owned);
    }

    /// Bytes between the copies of a per-CPU object, and how many there are.
    pub(crate) fn copies(&self, addr: u64) -> Option<(usize, usize)> {
        match self.kind(addr)? {
            Kind::Own(ty, copies) => Some((ty.size.next_multiple_of(8), copies)),
            _ => None,
        }
    }

    /// How many objects there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.state.lock().objects.len()
    }
}

/// Lists.
impl Heap {
    /// Links a node in front or at the back; `false`, and the hold on its object is given up, if
    /// it is linked somewhere already.
    pub(crate) fn list_push(&self, head: u64, node: u64, front: bool) -> bool {
        let mut state = self.state.lock();
        if state.owners.contains_key(&node) {
            let object = state.live(node);
            state.give_up(object.into_iter().collect());
            return false;
        }
        state.owners.insert(node, head);
        let list = state.lists.entry(head).or_default();
        if front {
            list.push_front(node)
        } else {
            list.push_back(node)
        }
        true
    }

    /// Unlinks the first or last node, whose object's hold goes to the caller; 0 if there is none.
    pub(crate) fn list_pop(&self, head: u64, front: bool) -> u64 {
        let mut state = self.state.lock();
        let Some(list) = state.lists.get_mut(&head) else { return 0 };
        let node = if front { list.pop_front() } else { list.pop_back() };
        let Some(node) = node else { return 0 };
        if list.is_empty() {
            state.lists.remove(&head);
        }
        state.owners.remove(&node);
        node
    }

    /// The first or last node; 0 if there is none.
    pub(crate) fn list_end(&self, head: u64, front: bool) -> u64 {
        let state = self.state.lock();
        let list = state.lists.get(&head);
        let node = list.and_then(|list| if front { list.front() } else { list.back() });
        node.copied().unwrap_or(0)
    }
}

/// A node's place in a tree.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Trees.
impl Heap {
    /// Whether the node is free to be linked; otherwise the hold on its object is given up.
    pub(crate) fn tree_may_add(&self, node: u64) -> bool {
        let mut state = self.state.lock();
        if !state.owners.contains_key(&node) {
            return true;
        }
        let object = state.live(node);
        state.give_up(object.into_iter().collect());
        false
    }

    /// Links a node at a side of another one, or as the root of an empty tree.
    pub(crate) fn tree_add(&self, root: u64, parent: Option<(u64, Side)>, node: u64) -> bool {
        let mut state = self.state.lock();
        let added = state.trees.entry(root).or_default().add(parent, node);
        if added {
            state.owners.insert(node, root);
        }
        added
    }

    /// Unlinks a node of this tree, whose object's hold goes to the caller.
    pub(crate) fn tree_remove(&self, root: u64, node: u64) -> bool {
        let mut state = self.state.lock();
        if state.owners.get(&node) != Some(&root) {
            return false;
        }
        state.owners.remove(&node);
        let Some(tree) = state.trees.get_mut(&root) else { return false };
        tree.remove(node);
        if tree.is_empty() {
            state.trees.remove(&root);
        }
        true
    }

    /// The smallest node; 0 if there is none.
    pub(crate) fn tree_first(&self, root: u64) -> u64 {
        self.state.lock().trees.get(&root).and_then(Tree::first).unwrap_or(0)
    }

    /// The topmost node; 0 if there is none.
    pub(crate) fn tree_root(&self, root: u64) -> u64 {
        self.state.lock().trees.get(&root).and_then(Tree::root).unwrap_or(0)
    }

    /// What is below a node of this tree; 0 if nothing is, or the node is in no tree of that root.
    pub(crate) fn tree_below(&self, root: u64, node: u64, side: Side) -> u64 {
        let state = self.state.lock();
        if state.owners.get(&node) != Some(&root) {
            return 0;
        }
        state.trees.get(&root).and_then(|tree| tree.below(node, side)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Kind {
        Kind::Own(Arc::new(ObjectType { size: 40, record: Record::default() }), 1)
    }

    #[test]
    fn memory_stays_while_a_run_may_see_it() {
        let heap = Arc::new(Heap::default());
        let a = heap.allocate(plain());
        let pin = heap.pin();
        heap.release(a);
        assert!(heap.region(a).is_some(), "a run is under way");
        assert!(!heap.hold(a), "but nobody can hold it any more");
        // A later run does not keep it for ever.
        let later = heap.pin();
        drop(pin);
        drop(later);
        assert!(heap.region(a).is_none());
        assert_eq!(heap.count(), 0);
    }

    #[test]
    fn overlapping_runs_do_not_keep_memory_for_ever() {
        let heap = Arc::new(Heap::default());
        let mut pin = heap.pin();
        for _ in 0..1000 {
            let next = heap.pin();
            drop(std::mem::replace(&mut pin, next));
            heap.release(heap.allocate(plain()));
            assert!(heap.count() < 8, "{}", heap.count());
        }
    }

    #[test]
    fn lists_are_queues_at_both_ends() {
        let heap = Arc::new(Heap::default());
        let nodes: Vec<u64> = (0..4).map(|_| heap.allocate(plain())).collect();
        let head = 0x1000;
        assert!(heap.list_push(head, nodes[0], false) && heap.list_push(head, nodes[1], false));
        assert!(heap.list_push(head, nodes[2], true));
        heap.hold(nodes[1]);
        assert!(!heap.list_push(0x2000, nodes[1], true), "it is in a list");
        assert_eq!(heap.list_end(head, true), nodes[2]);
        assert_eq!(heap.list_pop(head, false), nodes[1]);
        assert_eq!(heap.list_pop(head, true), nodes[2]);
        assert_eq!(heap.list_pop(head, true), nodes[0]);
        assert_eq!(heap.list_pop(head, true), 0);
    }
}
