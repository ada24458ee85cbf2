//! Loads, stores and copies: memory in cells of four bytes, or of less where a byte is kept alone.

use crate::exec::{Machine, Memory, Value};
use crate::smt::Term;

impl Machine<'_> {
    pub fn load(&mut self, memory: &Memory, ptr: &Value, width: u32) -> Term {
        let Value::Ptr(list) = ptr else { panic!("load of {ptr:?}") };
        let mut result: Option<Term> = None;
        for (cond, object, off) in list {
            let cell = |at: i64| {
                *memory
                    .get(&(*object, at))
                    .unwrap_or_else(|| panic!("{object}+{at} is not initialised"))
            };
            assert!(cell(*off).width >= width.min(32), "a cell is read as it was written");
            let term = match width {
                64 => self.smt.concat(cell(off + 4), cell(*off)),
                32 => cell(*off),
                _ => self.smt.extract(cell(*off), 0, width),
            };
            result = Some(match result {
                None => term,
                Some(old) => self.smt.ite(*cond, term, old),
            });
        }
        result.expect("a pointer points somewhere")
    }

    pub fn store(&mut self, memory: &mut Memory, ptr: &Value, value: Term) {
        let Value::Ptr(list) = ptr else { panic!("store to {ptr:?}") };
        for (cond, object, off) in list {
            unmixed(memory, *object, *off, value.width);
            for word in 0..value.width.div_ceil(32) {
                let part = self.smt.extract(value, word * 32, value.width.min(32));
                let cell = (*object, off + i64::from(word) * 4);
                let new = match memory.get(&cell) {
                    Some(old) if old.width != part.width && cond.value() == Some(1) => part,
                    Some(old) => self.smt.ite(*cond, part, *old),
                    None => part,
                };
                memory.insert(cell, new);
            }
        }
    }
    /// Copies `size` bytes from one known place to another.
    pub fn copy(&mut self, memory: &mut Memory, to: &Value, from: &Value, size: i64) {
        let (Value::Ptr(to), Value::Ptr(from)) = (to, from) else { panic!("copy of {from:?}") };
        let ([(_, object, off)], [(_, source, at)]) = (&to[..], &from[..]) else {
            panic!("a copy between known places")
        };
        for n in (0..size).step_by(4) {
            // Padding has no value.
            if let Some(cell) = memory.get(&(*source, at + n)).copied() {
                memory.insert((*object, off + n), cell);
            }
        }
    }
}

/// A store must not overlap cells of another size.
fn unmixed(memory: &Memory, object: usize, off: i64, width: u32) {
    let narrow = width < 32;
    assert!(narrow || width.is_multiple_of(32) && off % 4 == 0, "cells have four bytes");
    let clash = |n: i64| memory.get(&(object, off / 4 * 4 + n)).map(|cell| cell.width == 32);
    let mixed = if narrow {
        off % 4 != 0 && clash(0) == Some(true)
    } else {
        (1..4).any(|n| clash(n).is_some())
    };
    assert!(!mixed, "a store over cells of another size");
}
