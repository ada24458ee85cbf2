//! A small random source whose whole state is its seed, so that a printed seed repeats a run.

/// splitmix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "the stream has no end to check for")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, which is not empty.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// An immediate: often small, sometimes at an edge, sometimes anything.
    pub fn imm(&mut self) -> i32 {
        const EDGES: &[i32] =
            &[0, 1, -1, 2, 8, 31, 32, 63, 64, 255, 256, -256, 4095, i32::MAX, i32::MIN, -2];
        match self.below(8) {
            0..=3 => self.below(64) as i32,
            4..=5 => self.pick(EDGES),
            6 => self.below(1 << 16) as i32 - (1 << 15),
            _ => self.next() as i32,
        }
    }
}
