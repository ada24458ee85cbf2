//! Lists and trees of objects. Heads, roots and nodes are addresses in values that the program
//! has locked; what links them is the heap's.

use interp::{Trap, TrapKind};
use uapi::Errno;

use super::super::Call;
use super::object::grant;
use crate::heap::Side;

/// Steps down a tree at most: more than a balanced one has.
const MAX_DEPTH: u32 = 128;

fn push(c: &mut Call<'_, '_>, head: u64, node: u64, front: bool) -> Result<u64, Trap> {
    c.run.pin();
    let linked = c.run.core.heap.list_push(head, node, front);
    Ok(if linked { 0 } else { Errno::EINVAL.as_ret() })
}

pub(super) fn push_front(c: &mut Call<'_, '_>, [head, node, ..]: [u64; 5]) -> Result<u64, Trap> {
    push(c, head, node, true)
}

pub(super) fn push_back(c: &mut Call<'_, '_>, [head, node, ..]: [u64; 5]) -> Result<u64, Trap> {
    push(c, head, node, false)
}

pub(super) fn pop_front(c: &mut Call<'_, '_>, [head, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.list_pop(head, true))
}

pub(super) fn pop_back(c: &mut Call<'_, '_>, [head, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.list_pop(head, false))
}

pub(super) fn front(c: &mut Call<'_, '_>, [head, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.list_end(head, true))
}

pub(super) fn back(c: &mut Call<'_, '_>, [head, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.list_end(head, false))
}

/// Goes down by what the program says of two nodes; equal ones go right.
pub(super) fn add(c: &mut Call<'_, '_>, [root, node, less, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    if !c.run.core.heap.tree_may_add(node) {
        return Ok(Errno::EINVAL.as_ret());
    }
    let (mut place, mut at) = (None, c.run.core.heap.tree_root(root));
    for _ in 0..MAX_DEPTH {
        if at == 0 {
            break;
        }
        grant(c, node);
        grant(c, at);
        let side = match c.vm.call_back(c.run, less, [node, at, 0, 0, 0])? as u8 {
            0 => Side::Right,
            _ => Side::Left,
        };
        place = Some((at, side));
        at = c.run.core.heap.tree_below(root, at, side);
    }
    match c.run.core.heap.tree_add(root, place, node) {
        true => Ok(0),
        // Somebody else changes the tree: its lock is not held.
        false => Err(Trap::here(TrapKind::Helper("a tree changed while a node was added"))),
    }
}

/// The node, or null if it is not in this tree.
pub(super) fn remove(c: &mut Call<'_, '_>, [root, node, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(if c.run.core.heap.tree_remove(root, node) { node } else { 0 })
}

pub(super) fn first(c: &mut Call<'_, '_>, [root, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.tree_first(root))
}

pub(super) fn top(c: &mut Call<'_, '_>, [root, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.tree_root(root))
}

pub(super) fn left(c: &mut Call<'_, '_>, [root, node, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.tree_below(root, node, Side::Left))
}

pub(super) fn right(c: &mut Call<'_, '_>, [root, node, ..]: [u64; 5]) -> Result<u64, Trap> {
    c.run.pin();
    Ok(c.run.core.heap.tree_below(root, node, Side::Right))
}
