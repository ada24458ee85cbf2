//! The nine inequalities and one mask by which bounds describe a number.

use crate::exec::{Machine, Memory};
use crate::smt::{Smt, Term};

/// Widths of the fields of `Flat`: value, mask, then lowest and highest of u64, s64, u32, s32.
pub const WIDTHS: [u32; 10] = [64, 64, 64, 64, 64, 64, 32, 32, 32, 32];

/// Where `Flat` has its fields.
pub const FLAT: [i64; 10] = [0, 8, 16, 24, 32, 40, 48, 52, 56, 60];

/// Kinds of views: bits, and ranges of 64 and 32 bits, unsigned and signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bits,
    U64,
    S64,
    U32,
    S32,
}

/// The kind of each view that [`views`] returns.
pub const KINDS: [Kind; 9] = [
    Kind::Bits,
    Kind::U64,
    Kind::U64,
    Kind::S64,
    Kind::S64,
    Kind::U32,
    Kind::U32,
    Kind::S32,
    Kind::S32,
];

/// Unknown bounds at a place in memory; the names of the unknowns begin with `name`.
pub fn havoc(
    s: &mut Smt,
    memory: &mut Memory,
    place: (usize, i64),
    layout: &[i64; 10],
    name: &str,
) {
    for (n, width) in WIDTHS.into_iter().enumerate() {
        let term = s.unknown(&format!("{name}_{n}"), width);
        for word in 0..width / 32 {
            let part = s.extract(term, word * 32, 32);
            memory.insert((place.0, place.1 + layout[n] + i64::from(word) * 4), part);
        }
    }
}

/// One field of the bounds at a place.
pub fn field(
    s: &mut Smt,
    memory: &Memory,
    place: (usize, i64),
    layout: &[i64; 10],
    n: usize,
) -> Term {
    let at = place.1 + layout[n];
    let low = memory[&(place.0, at)];
    if WIDTHS[n] == 32 {
        return low;
    }
    s.concat(memory[&(place.0, at + 4)], low)
}

/// Whether the number has these bits.
pub fn has(s: &mut Smt, value: Term, mask: Term, number: Term) -> Term {
    let unmasked = s.not(mask);
    let known = s.and(number, unmasked);
    s.compare("eq", known, value)
}

/// Whether the number is in the bounds at a place, view by view.
pub fn views(
    s: &mut Smt,
    memory: &Memory,
    place: (usize, i64),
    layout: &[i64; 10],
    number: Term,
) -> Vec<Term> {
    let f: Vec<Term> = (0..10).map(|n| field(s, memory, place, layout, n)).collect();
    let low = s.extract(number, 0, 32);
    vec![
        has(s, f[0], f[1], number),
        s.compare("ule", f[2], number),
        s.compare("ule", number, f[3]),
        s.compare("sle", f[4], number),
        s.compare("sle", number, f[5]),
        s.compare("ule", f[6], low),
        s.compare("ule", low, f[7]),
        s.compare("sle", f[8], low),
        s.compare("sle", low, f[9]),
    ]
}

/// Where the compiler put the fields of `Bounds`.
pub fn layout(machine: &mut Machine) -> [i64; 10] {
    let object = machine.object();
    let out = crate::exec::Value::Ptr(vec![(Term::bool(true), object, 0)]);
    let (_, memory) = machine.call("layout", &[out], Memory::new());
    std::array::from_fn(|n| {
        memory[&(object, n as i64 * 8)].value().expect("offsets are constants") as i64
    })
}
