//! Random slots from a seed, with the field values that matter more often than chance has them.

use isa::Insn;

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded from `RING3_SEED`, else from the clock; prints the seed.
    pub(crate) fn new() -> Random {
        let now = || std::time::UNIX_EPOCH.elapsed().map_or(1, |d| d.as_nanos() as u64);
        let given = std::env::var("RING3_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(now);
        eprintln!("RING3_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.next().is_multiple_of(one_in)
    }

    /// A slot with this opcode, often well-formed.
    pub(crate) fn insn(&mut self, code: u8) -> Insn {
        let mut reg = || match self.chance(3) {
            true => 0,
            false if self.chance(12) => self.next() as u8 & 15,
            false => self.next() as u8 % 11,
        };
        let (dst, src) = (reg(), reg());
        let off = match self.chance(8) {
            true => self.next() as i16,
            false => self.pick(&[0, 0, 0, 1, -1, 8, 16, 32, -8, 64]),
        };
        let imm = match self.chance(3) {
            true => self.next() as i32,
            false => self.pick(IMMS),
        };
        Insn::new(code, dst, src, off, imm)
    }
}

const IMMS: &[i32] = &[
    0,
    0,
    0,
    1,
    -1,
    2,
    8,
    16,
    24,
    32,
    64,
    0x40,
    0x41,
    0x50,
    0x51,
    0xa0,
    0xa1,
    0xe0,
    0xe1,
    0xf0,
    0xf1,
    0x100,
    0x110,
    0x101,
    1 << 16,
    0x10001,
    i32::MAX,
    i32::MIN,
];
