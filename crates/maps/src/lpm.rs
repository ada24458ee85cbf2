//! Longest-prefix-match tries.
//!
//! A key is a prefix length in bits and that many bits of data. Nodes form a binary trie without
//! chains: a node without value only joins two children. Values lie in pools that do not move.

use parking_lot::RwLock;
use uapi::{Errno, MapDef};

use crate::ops::{BatchKind, EXIST, NOEXIST, Ops};
use crate::raw::{Slab, View};

/// Bytes of the prefix length before the data of a key.
const LEN: usize = 4;
/// Values of the first pool; each next one doubles, up to about a megabyte.
const FIRST_POOL: usize = 16;
const POOL_BYTES: usize = 1 << 20;

/// A trie.
pub(crate) struct Lpm {
    max: u32,
    max_bits: u32,
    data_size: usize,
    value_size: usize,
    trie: RwLock<Trie>,
}

#[derive(Default)]
struct Trie {
    root: Option<Box<Node>>,
    count: u32,
    pools: Vec<Slab>,
    free: Vec<Place>,
}

/// Where a value is: pool and offset.
#[derive(Clone, Copy)]
struct Place {
    pool: u32,
    off: u32,
}

struct Node {
    bits: u32,
    data: Box<[u8]>,
    value: Option<Place>,
    children: [Option<Box<Node>>; 2],
}

fn bit(data: &[u8], n: u32) -> usize {
    usize::from(data[n as usize / 8] >> (7 - n % 8) & 1)
}

/// Bits that two data have in common, at most `limit`.
fn common(a: &[u8], b: &[u8], limit: u32) -> u32 {
    let mut bits = 0;
    for (x, y) in a.iter().zip(b) {
        let same = (x ^ y).leading_zeros();
        bits += same;
        if same < 8 || bits >= limit {
            break;
        }
    }
    bits.min(limit)
}

impl Node {
    fn leaf(bits: u32, data: &[u8], value: Option<Place>) -> Box<Node> {
        Box::new(Node { bits, data: data.into(), value, children: [None, None] })
    }
}

impl Lpm {
    pub(crate) fn new(def: &MapDef) -> Lpm {
        let data_size = def.key_size as usize - LEN;
        Lpm {
            max: def.max_entries,
            max_bits: data_size as u32 * 8,
            data_size,
            value_size: def.value_size as usize,
            trie: RwLock::default(),
        }
    }

    fn stride(&self) -> usize {
        self.value_size.next_multiple_of(8)
    }

    /// Prefix length and data of a key; `None` if the length is more than the data has.
    fn key(&self, key: View<'_>) -> Option<(u32, Vec<u8>)> {
        let bits = key.u32(0);
        let mut data = vec![0; self.data_size];
        key.part(LEN, self.data_size).copy_to(&mut data);
        (bits <= self.max_bits).then_some((bits, data))
    }

    /// A place for a value.
    fn place(&self, trie: &mut Trie) -> Result<Place, Errno> {
        if trie.free.is_empty() {
            let last = trie.pools.last().map_or(0, Slab::len);
            let first = FIRST_POOL * self.stride();
            let len = if last == 0 { first } else { (last * 2).min(POOL_BYTES.max(last)) };
            let len = len / self.stride() * self.stride();
            let pool = trie.pools.len() as u32;
            trie.pools.push(Slab::new(len.max(self.stride()))?);
            let places = (0..len / self.stride()).rev();
            trie.free.extend(places.map(|i| Place { pool, off: (i * self.stride()) as u32 }));
        }
        trie.free.pop().ok_or(Errno::ENOMEM)
    }

    /// The value of the longest prefix of the key.
    fn find(&self, trie: &Trie, bits: u32, data: &[u8]) -> Option<Place> {
        let mut best = None;
        let mut node = trie.root.as_deref();
        while let Some(n) = node {
            if n.bits > bits || common(&n.data, data, n.bits) < n.bits {
                break;
            }
            best = n.value.or(best);
            if n.bits >= bits.min(self.max_bits) && n.bits == self.max_bits {
                break;
            }
            if n.bits == bits {
                break;
            }
            node = n.children[bit(data, n.bits)].as_deref();
        }
        best
    }

    fn put(&self, key: View<'_>, value: View<'_>, flags: u64) -> Result<(), Errno> {
        let (bits, data) = self.key(key).ok_or(Errno::EINVAL)?;
        if flags > EXIST {
            return Err(Errno::EINVAL);
        }
        let mut trie = self.trie.write();
        let known = exact(trie.root.as_deref(), bits, &data).is_some();
        match known {
            true if flags == NOEXIST => return Err(Errno::EEXIST),
            false if flags == EXIST => return Err(Errno::ENOENT),
            false if trie.count >= self.max => return Err(Errno::ENOSPC),
            _ => {}
        }
        let place = self.place(&mut trie)?;
        trie.pools[place.pool as usize].write(place.off as usize, value.part(0, self.value_size));
        match insert(&mut trie.root, bits, &data, place) {
            // Programs may still hold the old one; it is recycled, not unmapped.
            Some(old) => trie.free.push(old),
            None => trie.count += 1,
        }
        Ok(())
    }

    fn remove(&self, key: View<'_>) -> Result<(), Errno> {
        let (bits, data) = self.key(key).ok_or(Errno::EINVAL)?;
        let mut trie = self.trie.write();
        let place = unlink(&mut trie.root, bits, &data).ok_or(Errno::ENOENT)?;
        trie.count -= 1;
        trie.free.push(place);
        Ok(())
    }
}

/// The node of exactly this prefix that has a value.
fn exact<'n>(mut node: Option<&'n Node>, bits: u32, data: &[u8]) -> Option<&'n Node> {
    while let Some(n) = node {
        if n.bits > bits || common(&n.data, data, n.bits) < n.bits {
            return None;
        }
        if n.bits == bits {
            return n.value.map(|_| n);
        }
        node = n.children[bit(data, n.bits)].as_deref();
    }
    None
}

/// Sets a prefix; the value it had before.
fn insert(mut at: &mut Option<Box<Node>>, bits: u32, data: &[u8], place: Place) -> Option<Place> {
    while at.as_ref().is_some_and(|n| n.bits < bits && common(&n.data, data, n.bits) == n.bits) {
        let Some(n) = at else { return None };
        at = &mut n.children[bit(data, n.bits)];
    }
    let Some(mut old) = at.take() else {
        *at = Some(Node::leaf(bits, data, Some(place)));
        return None;
    };
    let shared = common(&old.data, data, old.bits.min(bits));
    if shared == bits && old.bits == bits {
        // Bits behind the prefix are those of the last update.
        old.data.copy_from_slice(data);
        let before = old.value.replace(place);
        *at = Some(old);
        return before;
    }
    let mut new = Node::leaf(bits, data, Some(place));
    if shared == bits {
        let side = bit(&old.data, bits);
        new.children[side] = Some(old);
        *at = Some(new);
        return None;
    }
    let mut joint = Node::leaf(shared, data, None);
    let side = bit(data, shared);
    joint.children[side] = Some(new);
    joint.children[1 - side] = Some(old);
    *at = Some(joint);
    None
}

/// Takes a prefix out; a node that then joins nothing goes too.
fn unlink(at: &mut Option<Box<Node>>, bits: u32, data: &[u8]) -> Option<Place> {
    let node = at.as_mut()?;
    if node.bits > bits || common(&node.data, data, node.bits) < node.bits {
        return None;
    }
    let place = if node.bits == bits {
        node.value.take()?
    } else {
        unlink(&mut node.children[bit(data, node.bits)], bits, data)?
    };
    if node.value.is_none() {
        match &mut node.children {
            [Some(_), Some(_)] => {}
            [one, other] => *at = one.take().or(other.take()),
        }
    }
    Some(place)
}

/// Visits prefixes, each after those it contains; stops at `false`.
fn walk<'n>(node: Option<&'n Node>, visit: &mut dyn FnMut(&'n Node) -> bool) -> bool {
    let Some(n) = node else { return true };
    n.children.iter().all(|child| walk(child.as_deref(), visit)) && (n.value.is_none() || visit(n))
}

impl Ops for Lpm {
    fn lookup(&self, key: View<'_>, _: u32) -> Option<u64> {
        let (bits, data) = self.key(key)?;
        let trie = self.trie.read();
        let place = self.find(&trie, bits, &data)?;
        Some(trie.pools[place.pool as usize].addr(place.off as usize))
    }

    fn update(&self, key: View<'_>, value: View<'_>, flags: u64, _: u32) -> Result<(), Errno> {
        self.put(key, value, flags)
    }

    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        self.remove(key)
    }

    fn value_at(&self, addr: u64) -> Option<(u64, u64)> {
        let trie = self.trie.read();
        trie.pools.iter().find_map(|pool| {
            let off = pool.offset(addr)?;
            let start = pool.addr(off - off % self.stride());
            Some((start, start + self.value_size as u64))
        })
    }

    fn user_lookup(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let (bits, data) = self.key(View::from(key)).ok_or(Errno::ENOENT)?;
        let trie = self.trie.read();
        let place = self.find(&trie, bits, &data).ok_or(Errno::ENOENT)?;
        trie.pools[place.pool as usize].read(place.off as usize, out);
        Ok(())
    }

    fn user_update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.put(View::from(key), View::from(value), flags)
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let trie = self.trie.read();
        let root = trie.root.as_deref();
        let from = key.and_then(|k| self.key(View::from(k)));
        let known = from.filter(|(bits, data)| exact(root, *bits, data).is_some());
        let mut found = None;
        let mut passed = known.is_none();
        walk(root, &mut |n| {
            if passed {
                found = Some(n);
                return false;
            }
            passed = known.as_ref().is_some_and(|(bits, data)| {
                n.bits == *bits && common(&n.data, data, *bits) == *bits
            });
            true
        });
        let found = found.ok_or(Errno::ENOENT)?;
        next[..LEN].copy_from_slice(&found.bits.to_ne_bytes());
        next[LEN..].copy_from_slice(&found.data);
        Ok(())
    }

    fn live(&self) -> u32 {
        self.trie.read().count
    }

    fn batch(&self) -> BatchKind {
        BatchKind::Keys { delete: true }
    }
}
