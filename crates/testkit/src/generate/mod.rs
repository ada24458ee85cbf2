//! Random programs for differential runs: built so that most are safe, and about a third break a
//! rule somewhere, so that both verdicts are exercised.
//!
//! A program is XDP. r6 holds the context, r7 the packet, r8 its end, r9 a map value (or null);
//! r0 to r5 are for numbers. Statements nest: branches, bounded loops, calls of subprograms,
//! helpers, spills, packet and map accesses at fixed and at computed offsets.

mod rng;
mod statement;
mod wild;

pub use rng::Rng;
pub use wild::{WildMaps, wild_program};

use isa::Insn;
use statement::Body;

/// Bytes of the packet that the prologue proves, unless it forgets to.
pub(crate) const PROVEN: i16 = 32;
/// Bytes of a map value.
pub const VALUE_SIZE: u32 = 48;

/// The maps that programs refer to, by descriptor.
#[derive(Clone, Copy, Debug)]
pub struct MapFds {
    /// An array with 4-byte keys.
    pub array: i32,
    /// A hash with 8-byte keys.
    pub hash: i32,
}

/// How wild the programs are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Statements of the main program, at most.
    pub statements: u64,
    /// One statement in so many breaks a rule on purpose; 0 for none.
    pub faults: u64,
    /// Results depend on the program, packet and maps alone: no clock, CPU or random numbers.
    pub repeatable: bool,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { statements: 24, faults: 60, repeatable: false }
    }
}

/// The program that belongs to `seed`.
pub fn program(seed: u64, maps: MapFds, shape: Shape) -> Vec<Insn> {
    let mut rng = Rng::new(seed);
    let subprogs = rng.below(3) as usize;
    let mut body = Body::new(rng, maps, shape, subprogs);
    body.prologue();
    let count = 4 + body.rng.below(shape.statements);
    body.statements(count, 0);
    body.epilogue();
    body.subprograms();
    body.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: MapFds = MapFds { array: 3, hash: 4 };

    #[test]
    fn a_seed_names_one_program() {
        assert_eq!(program(7, MAPS, Shape::default()), program(7, MAPS, Shape::default()));
        assert_ne!(program(7, MAPS, Shape::default()), program(8, MAPS, Shape::default()));
    }

    #[test]
    fn every_instruction_decodes() {
        for seed in 0..500 {
            let insns = program(seed, MAPS, Shape::default());
            let decoded = isa::decode_program(&insns);
            assert!(decoded.is_ok(), "seed {seed}: {decoded:?}");
        }
    }
}
