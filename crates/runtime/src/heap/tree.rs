//! A red-black tree of addresses. Who adds a node has found its place; the tree only keeps itself
//! balanced, by the textbook's rules, so that its shape is the one that Linux's trees have.

use std::collections::HashMap;

use super::Side;

const NIL: u32 = u32::MAX;
const LEFT: usize = 0;
const RIGHT: usize = 1;

#[derive(Clone, Copy)]
struct Node {
    addr: u64,
    parent: u32,
    child: [u32; 2],
    red: bool,
}

/// The nodes, by number and by address.
#[derive(Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    numbers: HashMap<u64, u32>,
    top: Option<u32>,
}

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// All addresses, in no order.
    pub(super) fn into_nodes(self) -> Vec<u64> {
        self.numbers.into_keys().collect()
    }

    pub(super) fn root(&self) -> Option<u64> {
        self.top.map(|top| self.node(top).addr)
    }

    pub(super) fn first(&self) -> Option<u64> {
        let top = self.top?;
        Some(self.node(self.leftmost(top)).addr)
    }

    pub(super) fn below(&self, addr: u64, side: Side) -> Option<u64> {
        let child = self.node(*self.numbers.get(&addr)?).child[index(side)];
        (child != NIL).then(|| self.node(child).addr)
    }

    /// Adds a leaf below `parent`; `false` if that place is taken or there is no such parent.
    pub(super) fn add(&mut self, parent: Option<(u64, Side)>, addr: u64) -> bool {
        if self.numbers.contains_key(&addr) {
            return false;
        }
        let place = match (parent, self.top) {
            (None, None) => None,
            (Some((above, side)), Some(_)) => match self.numbers.get(&above) {
                Some(&n) if self.node(n).child[index(side)] == NIL => Some((n, index(side))),
                _ => return false,
            },
            _ => return false,
        };
        let above = place.map_or(NIL, |(n, _)| n);
        let new = self.take(Node { addr, parent: above, child: [NIL; 2], red: true });
        match place {
            Some((n, side)) => self.node_mut(n).child[side] = new,
            None => self.top = Some(new),
        }
        self.balance_added(new);
        true
    }

    fn take(&mut self, node: Node) -> u32 {
        let number = match self.free.pop() {
            Some(number) => {
                self.nodes[number as usize] = node;
                number
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.numbers.insert(node.addr, number);
        number
    }

    fn node(&self, n: u32) -> &Node {
        &self.nodes[n as usize]
    }

    fn node_mut(&mut self, n: u32) -> &mut Node {
        &mut self.nodes[n as usize]
    }

    fn is_red(&self, n: u32) -> bool {
        n != NIL && self.node(n).red
    }

    fn leftmost(&self, mut n: u32) -> u32 {
        while self.node(n).child[LEFT] != NIL {
            n = self.node(n).child[LEFT];
        }
        n
    }

    /// On which side of its parent a node is.
    fn side_of(&self, n: u32, parent: u32) -> usize {
        usize::from(self.node(parent).child[RIGHT] == n)
    }

    /// Puts `new` in the place of `old` below `parent`.
    fn replace_child(&mut self, parent: u32, old: u32, new: u32) {
        if parent == NIL {
            self.top = (new != NIL).then_some(new);
        } else {
            let side = self.side_of(old, parent);
            self.node_mut(parent).child[side] = new;
        }
        if new != NIL {
            self.node_mut(new).parent = parent;
        }
    }

    /// Turns `n` down to `side`; its other child takes its place.
    fn rotate(&mut self, n: u32, side: usize) {
        let up = self.node(n).child[1 - side];
        let moved = self.node(up).child[side];
        self.replace_child(self.node(n).parent, n, up);
        self.node_mut(n).child[1 - side] = moved;
        if moved != NIL {
            self.node_mut(moved).parent = n;
        }
        self.node_mut(up).child[side] = n;
        self.node_mut(n).parent = up;
    }

    fn balance_added(&mut self, mut n: u32) {
        loop {
            let parent = self.node(n).parent;
            if !self.is_red(parent) {
                break;
            }
            // A red node has a parent.
            let above = self.node(parent).parent;
            let side = self.side_of(parent, above);
            let uncle = self.node(above).child[1 - side];
            if self.is_red(uncle) {
                self.node_mut(parent).red = false;
                self.node_mut(uncle).red = false;
                self.node_mut(above).red = true;
                n = above;
                continue;
            }
            let mut parent = parent;
            if self.side_of(n, parent) != side {
                self.rotate(parent, side);
                parent = n;
            }
            self.node_mut(parent).red = false;
            self.node_mut(above).red = true;
            self.rotate(above, 1 - side);
            break;
        }
        if let Some(top) = self.top {
            self.node_mut(top).red = false;
        }
    }

    /// Takes a node out, if it is there.
    pub(super) fn remove(&mut self, addr: u64) {
        let Some(n) = self.numbers.remove(&addr) else { return };
        let node = *self.node(n);
        let (mut gone_red, hole, hole_parent);
        match node.child {
            [NIL, child] | [child, NIL] => {
                (gone_red, hole, hole_parent) = (node.red, child, node.parent);
                self.replace_child(node.parent, n, child);
            }
            [left, right] => {
                // The next one in order takes its place and colour.
                let next = self.leftmost(right);
                let after = *self.node(next);
                gone_red = after.red;
                hole = after.child[RIGHT];
                if after.parent == n {
                    hole_parent = next;
                } else {
                    hole_parent = after.parent;
                    self.replace_child(after.parent, next, hole);
                    self.node_mut(next).child[RIGHT] = right;
                    self.node_mut(right).parent = next;
                }
                self.replace_child(node.parent, n, next);
                self.node_mut(next).child[LEFT] = left;
                self.node_mut(left).parent = next;
                self.node_mut(next).red = node.red;
            }
        }
        self.free.push(n);
        if self.numbers.is_empty() {
            gone_red = true;
        }
        if !gone_red {
            self.balance_removed(hole, hole_parent);
        }
    }

    /// The paths through `n`, below `parent`, lack a black node.
    fn balance_removed(&mut self, mut n: u32, mut parent: u32) {
        while parent != NIL && !self.is_red(n) {
            let side = self.side_of(n, parent);
            let mut sibling = self.node(parent).child[1 - side];
            if self.is_red(sibling) {
                self.node_mut(sibling).red = false;
                self.node_mut(parent).red = true;
                self.rotate(parent, side);
                sibling = self.node(parent).child[1 - side];
            }
            if sibling == NIL {
                break;
            }
            let nephews = self.node(sibling).child;
            if !self.is_red(nephews[LEFT]) && !self.is_red(nephews[RIGHT]) {
                self.node_mut(sibling).red = true;
                n = parent;
                parent = self.node(n).parent;
                continue;
            }
            if !self.is_red(nephews[1 - side]) {
                self.node_mut(nephews[side]).red = false;
                self.node_mut(sibling).red = true;
                self.rotate(sibling, 1 - side);
                sibling = self.node(parent).child[1 - side];
            }
            self.node_mut(sibling).red = self.node(parent).red;
            self.node_mut(parent).red = false;
            let far = self.node(sibling).child[1 - side];
            if far != NIL {
                self.node_mut(far).red = false;
            }
            self.rotate(parent, side);
            n = self.top.unwrap_or(NIL);
            break;
        }
        if n != NIL {
            self.node_mut(n).red = false;
        }
    }
}

fn index(side: Side) -> usize {
    match side {
        Side::Left => LEFT,
        Side::Right => RIGHT,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Adds by value, as a program's order would.
    fn insert(tree: &mut Tree, value: u64) {
        let (mut place, mut at) = (None, tree.root());
        while let Some(here) = at {
            let side = if value < here { Side::Left } else { Side::Right };
            place = Some((here, side));
            at = tree.below(here, side);
        }
        assert!(tree.add(place, value));
    }

    /// Black nodes on each path, and the order.
    fn check(tree: &Tree, n: u32, (low, high): (u64, u64)) -> u32 {
        if n == NIL {
            return 1;
        }
        let node = tree.node(n);
        assert!((low..high).contains(&node.addr));
        for child in node.child {
            assert!(!(node.red && tree.is_red(child)), "two red ones");
            assert!(child == NIL || tree.node(child).parent == n);
        }
        let left = check(tree, node.child[LEFT], (low, node.addr));
        let right = check(tree, node.child[RIGHT], (node.addr + 1, high));
        assert_eq!(left, right, "black nodes");
        left + u32::from(!node.red)
    }

    #[test]
    fn random_changes_keep_it_balanced() {
        let seed = std::process::id() as u64 | 1;
        println!("seed {seed}");
        let mut dice = seed;
        let (mut tree, mut known) = (Tree::default(), BTreeSet::new());
        for _ in 0..4000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = dice >> 33 & 255;
            if known.remove(&value) {
                tree.remove(value);
            } else {
                known.insert(value);
                insert(&mut tree, value);
            }
            check(&tree, tree.top.unwrap_or(NIL), (0, 256));
            assert_eq!(tree.first(), known.first().copied());
        }
    }
}
