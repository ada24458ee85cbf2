//! Programs valid by construction: every access inside the buffer or the stack, every loop bounded.

use isa::Insn;

use super::maps;

/// splitmix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Values at the edges of all widths more often than others.
    pub(crate) fn value(&mut self) -> u64 {
        const EDGES: [u64; 14] = [
            0,
            1,
            2,
            7,
            u64::MAX,
            u64::MAX - 1,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            0x1_0000_0000,
            i64::MAX as u64,
            i64::MIN as u64,
            0xffff_ffff_8000_0000,
            0xff,
        ];
        match self.below(4) {
            0 => self.pick(&EDGES),
            1 => self.below(64),
            2 => self.next() >> self.below(64),
            _ => self.next(),
        }
    }
}

/// A generated program.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) insns: Vec<Insn>,
    pub(crate) starts: Vec<u32>,
}

/// What programs may contain.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) calls: bool,
    pub(crate) helpers: bool,
    /// The frame pointer is used as a value.
    pub(crate) escape: bool,
    /// Only what Linux's verifier accepts: the buffer is a context.
    pub(crate) linux: bool,
    /// Instructions of a function, about.
    pub(crate) size: u64,
}

const ALU: [u8; 13] =
    [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0, 0xb0];
const JMP: [u8; 11] = [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];

struct Function<'a> {
    rng: &'a mut Rng,
    shape: Shape,
    out: Vec<Insn>,
    /// Holds the buffer's address throughout.
    buffer: u8,
    /// Loop counters, not to be written.
    reserved: Vec<u8>,
    /// Calls to fill in: position and function.
    calls: Vec<(usize, usize)>,
    addresses: Vec<(usize, usize)>,
    index: usize,
    functions: usize,
    depth: u32,
}

/// A random program.
pub(crate) fn program(rng: &mut Rng, shape: Shape) -> Generated {
    let functions = if shape.calls { 1 + rng.below(4) as usize } else { 1 };
    let mut parts = Vec::new();
    for index in 0..functions {
        let mut function = Function {
            buffer: 6 + rng.below(4) as u8,
            rng,
            shape,
            out: Vec::new(),
            reserved: Vec::new(),
            calls: Vec::new(),
            addresses: Vec::new(),
            index,
            functions,
            depth: 0,
        };
        if index > 0 && function.rng.chance(40) {
            function.small();
        } else {
            function.whole();
        }
        parts.push((function.out, function.calls, function.addresses));
    }
    let mut starts = Vec::new();
    let mut at = 0;
    for (code, ..) in &parts {
        starts.push(at);
        at += code.len() as u32;
    }
    let mut insns = Vec::new();
    for (i, (mut code, calls, addresses)) in parts.into_iter().enumerate() {
        for (pos, callee) in calls.into_iter().chain(addresses) {
            code[pos].imm = starts[callee] as i32 - (starts[i] as i32 + pos as i32 + 1);
        }
        insns.extend(code);
    }
    Generated { insns, starts }
}

impl Function<'_> {
    fn push(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.out.push(Insn::new(code, dst, src, off, imm));
    }

    fn wide(&mut self, dst: u8, value: u64) {
        self.push(0x18, dst, 0, 0, value as u32 as i32);
        self.push(0, 0, 0, 0, (value >> 32) as u32 as i32);
    }

    fn constant(&mut self, dst: u8) {
        let value = self.rng.value();
        match self.rng.below(3) {
            0 => self.push(0xb7, dst, 0, 0, value as i32),
            1 => self.push(0xb4, dst, 0, 0, value as i32),
            _ => self.wide(dst, value),
        }
    }

    /// A register that may be written.
    fn target(&mut self) -> u8 {
        loop {
            let reg = self.rng.below(10) as u8;
            if reg != self.buffer && !self.reserved.contains(&reg) {
                return reg;
            }
        }
    }

    fn any(&mut self) -> u8 {
        loop {
            let reg = self.rng.below(10) as u8;
            if reg != self.buffer {
                return reg;
            }
        }
    }

    /// A few instructions on the arguments, as compilers make them of short functions.
    fn small(&mut self) {
        const BUFFER: u8 = 3;
        const REGS: [u8; 5] = [0, 1, 2, 4, 5];
        for reg in [0, 4, 5] {
            self.constant(reg);
        }
        for _ in 0..self.rng.below(9) {
            let (dst, src) = (self.rng.pick(&REGS), self.rng.pick(&REGS));
            let off = 8 * self.rng.below(15) as i16;
            let class = self.rng.pick(&[0x04, 0x07]);
            let op = self.rng.pick(&[0x00, 0x01, 0xe1, 0xf1]);
            match self.rng.below(8) {
                0 => self.push(0x79, dst, BUFFER, off, 0),
                1 => self.push(0x7b, BUFFER, src, off, 0),
                2 if !self.shape.linux => self.push(0xdb, BUFFER, src, off, op),
                3 => self.push(0x64 | class, dst, 0, 0, 7),
                4 => self.push(0xb8 | class, dst, src, 0, 0),
                _ => {
                    let op = self.rng.pick(&[0x00, 0x10, 0x20, 0x40, 0x50, 0xa0]);
                    self.push(op | 8 | class, dst, src, 0, 0);
                }
            }
        }
        self.push(0x95, 0, 0, 0, 0);
    }

    fn whole(&mut self) {
        let buffer = self.buffer;
        if self.index == 0 {
            self.push(0xbf, buffer, 1, 0, 0);
        } else {
            // Callers pass the buffer in r3.
            self.push(0xbf, buffer, 3, 0, 0);
        }
        // Arguments of subprograms are values from the start.
        let given: &[u8] = if self.index == 0 { &[] } else { &[1, 2] };
        for reg in (0..10).filter(|r| *r != buffer && !given.contains(r)) {
            self.constant(reg);
        }
        for slot in 1..=8i16 {
            let (imm, src) = (self.rng.next() as i32, self.any());
            match self.rng.below(2) {
                0 => self.push(0x7a, 10, 0, -8 * slot, imm),
                _ => self.push(0x7b, 10, src, -8 * slot, 0),
            }
        }
        let size = 1 + self.rng.below(self.shape.size) as usize;
        self.block(size);
        // All registers count.
        self.push(0x07, 0, 0, 0, self.index as i32);
        for reg in (1..10).filter(|r| *r != buffer) {
            self.push(0x27, 0, 0, 0, 31);
            self.push(0xaf, 0, reg, 0, 0);
            if self.index == 0 {
                self.push(0x7b, buffer, reg, 128 + 8 * i16::from(reg), 0);
            }
        }
        self.push(0x95, 0, 0, 0, 0);
    }

    fn block(&mut self, size: usize) {
        let end = self.out.len() + size;
        while self.out.len() < end {
            let left = end - self.out.len();
            match self.rng.below(100) {
                0..40 => self.arithmetic(),
                40..52 => self.idiom(),
                52..68 => self.memory(),
                68..74 => self.stack(),
                74..86 => self.branch(left),
                86..90 if self.depth < 2 => self.looped(left),
                90..95 => self.atomic(),
                95..98 => self.call(),
                _ => self.constant_target(),
            }
        }
    }

    fn constant_target(&mut self) {
        let dst = self.target();
        self.constant(dst);
    }

    fn arithmetic(&mut self) {
        let (dst, src) = (self.target(), self.any());
        let class = self.rng.pick(&[0x04, 0x07]);
        let bits = if class == 4 { 32 } else { 64 };
        match self.rng.below(20) {
            0 => self.push(0x80 | class, dst, 0, 0, 0),
            1 => {
                let (code, imm) =
                    (self.rng.pick(&[0xd4, 0xdc, 0xd7]), self.rng.pick(&[16, 32, 64]));
                self.push(code, dst, 0, 0, imm);
            }
            2 => {
                let off =
                    if class == 4 { self.rng.pick(&[8, 16]) } else { self.rng.pick(&[8, 16, 32]) };
                self.push(0xb8 | class, dst, src, off, 0);
            }
            _ => {
                let op = self.rng.pick(&ALU);
                let signed = matches!(op, 0x30 | 0x90) && self.rng.chance(50);
                let off = i16::from(signed);
                if self.rng.chance(50) {
                    return self.push(op | 8 | class, dst, src, off, 0);
                }
                let imm = match op {
                    0x60 | 0x70 | 0xc0 => self.rng.below(bits) as i32,
                    0x30 | 0x90 => match self.rng.value() as i32 {
                        0 => 1,
                        imm => imm,
                    },
                    _ => self.rng.value() as i32,
                };
                self.push(op | class, dst, 0, off, imm);
            }
        }
    }

    /// What compilers emit and the code generator looks for.
    fn idiom(&mut self) {
        let (a, b, c) = (self.target(), self.target(), self.any());
        let class = self.rng.pick(&[0x04, 0x07]);
        let bits = if class == 4 { 32 } else { 64 };
        let n = 1 + self.rng.below(bits - 1) as i32;
        match self.rng.below(10) {
            8 if a != b && self.out.len().is_multiple_of(3) => self.count_of_bits(a, b, class),
            // A rotate.
            0 => {
                self.push(0xb8 | class, a, c, 0, 0);
                self.push(0x70 | class, a, 0, 0, bits as i32 - n);
                self.push(0xb8 | class, b, c, 0, 0);
                self.push(0x60 | class, b, 0, 0, n);
                let op = self.rng.pick(&[0x40, 0xa0, 0x00]);
                self.push(op | 8 | class, b, a, 0, 0);
            }
            // A rotate in place.
            1 if a != b => {
                self.push(0xb8 | class, a, b, 0, 0);
                self.push(0x70 | class, a, 0, 0, bits as i32 - n);
                self.push(0x60 | class, b, 0, 0, n);
                self.push(0x48 | class, b, a, 0, 0);
            }
            // Zero and sign extension by shifts.
            2 => {
                let n = self.rng.pick(&[32, 48, 56]);
                self.push(0x67, a, 0, 0, n);
                let op = self.rng.pick(&[0x77, 0xc7]);
                self.push(op, a, 0, 0, n);
            }
            3 => {
                let n = self.rng.pick(&[16, 24]);
                self.push(0x64, a, 0, 0, n);
                let op = self.rng.pick(&[0x74, 0xc4]);
                self.push(op, a, 0, 0, n);
            }
            // Sums.
            4 => {
                let (scale, disp) = (self.rng.below(5) as i32, self.rng.value() as i32);
                self.push(0x60 | class, a, 0, 0, scale);
                self.push(0x08 | class, a, b, 0, 0);
                self.push(class, a, 0, 0, disp);
                self.push(0x08 | class, b, a, 0, 0);
            }
            5 => {
                let k = self.rng.pick(&[3, 5, 9, 8, 7, -1]);
                self.push(0x20 | class, a, 0, 0, k);
                self.push(class, a, 0, 0, 1);
            }
            6 => {
                let (m, n) = (self.rng.value() as i32, self.rng.value() as i32);
                self.push(0x50 | class, a, 0, 0, m);
                self.push(0x54, a, 0, 0, n);
            }
            // One of two constants.
            _ => {
                let (k, c1, c2) =
                    (self.rng.value() as i32, self.rng.below(3) as i32, self.rng.below(3) as i32);
                let cond = self.rng.pick(&JMP);
                self.push(0xb4, a, 0, 0, c1);
                self.push(cond | 6, b, 0, 1, k);
                self.push(0xb4, a, 0, 0, c2);
                for _ in 0..self.rng.below(3) {
                    let (op, k) =
                        (self.rng.pick(&[0x60, 0x00, 0xa0, 0x20, 0x50]), self.rng.below(30));
                    let class = self.rng.pick(&[4, 7]);
                    self.push(op | class, a, 0, 0, k as i32);
                }
            }
        }
    }

    /// The bits of `a`, counted by masks, into `b`; now and then something is not as it should be.
    fn count_of_bits(&mut self, a: u8, b: u8, class: u8) {
        let off = self.rng.chance(20);
        let (mov, alu) = (0xb8 | class, class);
        let reg = 0x08 | class;
        self.push(mov, b, a, 0, 0);
        self.push(0x70 | alu, b, 0, 0, 1);
        self.mask(class, b, 0x55, a);
        self.push(0x10 | reg, a, b, 0, 0);
        self.push(mov, b, a, 0, 0);
        self.mask(class, b, 0x33, a);
        self.push(0x70 | alu, a, 0, 0, if off { 1 } else { 2 });
        self.mask(class, a, 0x33, b);
        self.push(reg, b, a, 0, 0);
        self.push(mov, a, b, 0, 0);
        self.push(0x70 | alu, a, 0, 0, 4);
        self.push(reg, b, a, 0, 0);
        self.mask(class, b, 0x0f, a);
        if self.rng.chance(20) {
            let dst = self.target();
            self.push(mov, dst, a, 0, 0);
        }
        self.constant_product(class, b, a);
        self.push(0x70 | alu, b, 0, 0, if class == 4 { 24 } else { 56 });
        if self.rng.chance(80) {
            self.constant(a);
        }
    }

    /// `dst &= byte` repeated, by way of a register that is neither `dst` nor `keep`.
    fn mask(&mut self, class: u8, dst: u8, byte: u64, keep: u8) {
        let value = byte * 0x0101_0101_0101_0101;
        if class == 4 {
            return self.push(0x54, dst, 0, 0, value as i32);
        }
        let by = self.third(dst, keep);
        self.wide(by, value);
        self.push(0x5f, dst, by, 0, 0);
    }

    fn constant_product(&mut self, class: u8, dst: u8, keep: u8) {
        if class == 4 {
            return self.push(0x24, dst, 0, 0, 0x0101_0101);
        }
        let by = self.third(dst, keep);
        self.wide(by, 0x0101_0101_0101_0101);
        self.push(0x2f, dst, by, 0, 0);
    }

    fn third(&mut self, a: u8, b: u8) -> u8 {
        loop {
            let reg = self.target();
            if reg != a && reg != b {
                return reg;
            }
        }
    }

    /// Loads and stores in the first half of the buffer.
    fn memory(&mut self) {
        let size = self.rng.below(4) as u8;
        let code = [0x10, 0x08, 0x00, 0x18][size as usize];
        let (mut base, mut off) = (self.buffer, self.rng.below(120) as i16);
        if self.shape.linux {
            off &= !7;
        }
        match self.rng.below(3) {
            _ if self.shape.linux => {}
            0 => {}
            1 => {
                let reg = self.target();
                let back = self.rng.below(1 << 12) as i16;
                self.push(0xbf, reg, base, 0, 0);
                self.push(0x07, reg, 0, 0, i32::from(back));
                (base, off) = (reg, off - back);
            }
            _ => {
                let (reg, index) = (self.target(), self.any());
                let scale = self.rng.below(4) as i32;
                self.push(0xbf, reg, index, 0, 0);
                let and = self.rng.pick(&[0x54, 0x57]);
                self.push(and, reg, 0, 0, 63 >> scale);
                self.push(0x67, reg, 0, 0, scale);
                self.push(0x0f, reg, base, 0, 0);
                (base, off) = (reg, off / 2);
            }
        }
        let (dst, src, imm) = (self.target(), self.any(), self.rng.value() as i32);
        match self.rng.below(8) {
            0..4 => self.push(0x61 | code, dst, base, off, 0),
            4 if size < 3 => self.push(0x81 | code, dst, base, off, 0),
            5 => self.push(0x62 | code, base, 0, off, imm),
            // Never the address itself: that of the stack differs from run to run.
            _ => self.push(0x63 | code, base, src, off, 0),
        }
    }

    fn stack(&mut self) {
        let slot = -8 * (1 + self.rng.below(8) as i16);
        let (dst, src, imm) = (self.target(), self.any(), self.rng.next() as i32);
        if self.shape.escape && self.rng.chance(30) {
            let reg = self.target();
            self.push(0xbf, reg, 10, 0, 0);
            self.push(0x07, reg, 0, 0, i32::from(slot));
            match self.rng.below(2) {
                0 => self.push(0x79, dst, reg, 0, 0),
                _ if src != reg => self.push(0x7b, reg, src, 0, 0),
                _ => {}
            }
            return self.push(0xb7, reg, 0, 0, imm);
        }
        match self.rng.below(8) {
            0..3 => self.push(0x79, dst, 10, slot, 0),
            3..5 => self.push(0x7b, 10, src, slot, 0),
            5 => self.push(0x7a, 10, 0, slot, imm),
            6 if slot == -16 => self.push(0x61, dst, 10, slot + 4, 0),
            6 => self.push(0x61, dst, 10, slot, 0),
            _ if slot == -24 => self.push(0x6b, 10, src, slot + 2, 0),
            _ => self.push(0x63, 10, src, slot, 0),
        }
    }

    fn branch(&mut self, left: usize) {
        let class = self.rng.pick(&[0x05, 0x06]);
        let (cond, dst, src) = (self.rng.pick(&JMP), self.any(), self.any());
        let at = self.out.len();
        if self.rng.chance(60) {
            let imm = self.rng.value() as i32;
            self.push(cond | class, dst, 0, 0, imm);
        } else {
            self.push(cond | 8 | class, dst, src, 0, 0);
        }
        let inner = self.rng.below(left.min(12) as u64 + 1) as usize;
        self.block(inner);
        if self.rng.chance(30) {
            // Another way: a jump over it.
            let over = self.out.len();
            match self.rng.below(2) {
                0 => self.push(0x05, 0, 0, 0, 0),
                _ => self.push(0x06, 0, 0, 0, 0),
            }
            self.out[at].off = (self.out.len() - at - 1) as i16;
            let inner = self.rng.below(left.min(8) as u64 + 1) as usize;
            self.block(inner);
            let rel = self.out.len() - over - 1;
            if self.out[over].code == 0x05 {
                self.out[over].off = rel as i16;
            } else {
                self.out[over].imm = rel as i32;
            }
        } else {
            self.out[at].off = (self.out.len() - at - 1) as i16;
        }
    }

    fn looped(&mut self, left: usize) {
        self.depth += 1;
        let rounds = 1 + self.rng.below(5) as i32;
        let inner = 1 + self.rng.below(left.min(20) as u64) as usize;
        if self.reserved.len() < 2 && self.rng.chance(60) {
            let counter = self.target();
            self.reserved.push(counter);
            self.push(0xb7, counter, 0, 0, rounds);
            let top = self.out.len();
            self.block(inner);
            self.push(0x07, counter, 0, 0, -1);
            let off = top as i64 - self.out.len() as i64 - 1;
            self.push(0x55, counter, 0, off as i16, 0);
            self.reserved.pop();
        } else {
            let slot = -72 - 8 * self.depth as i16;
            self.push(0x7a, 10, 0, slot, rounds);
            let top = self.out.len();
            self.block(inner);
            let reg = self.target();
            self.push(0x79, reg, 10, slot, 0);
            self.push(0x07, reg, 0, 0, -1);
            self.push(0x7b, 10, reg, slot, 0);
            let off = top as i64 - self.out.len() as i64 - 1;
            self.push(0x15, reg, 0, 1, 0);
            self.push(0x05, 0, 0, off as i16 - 1, 0);
        }
        self.depth -= 1;
    }

    fn atomic(&mut self) {
        const OPS: [i32; 10] = [0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1, 0xf1];
        let op = self.rng.pick(&OPS);
        let wide = self.rng.chance(50);
        let code = if wide { 0xdb } else { 0xc3 };
        let src = self.target();
        if op == 0xf1 && self.reserved.contains(&0) {
            return;
        }
        let off = 8 * self.rng.below(15) as i16;
        if self.rng.chance(25) && !self.shape.linux {
            // Load-acquire and store-release of any size.
            let code = self.rng.pick(&[0xd3, 0xcb, 0xc3, 0xdb]);
            let buffer = self.buffer;
            return match self.rng.below(2) {
                0 => self.push(code, src, buffer, off, 0x100),
                _ => self.push(code, buffer, src, off, 0x110),
            };
        }
        let base = if self.shape.linux || self.rng.chance(20) { 10 } else { self.buffer };
        let off = if base == 10 { -8 * (1 + self.rng.below(8) as i16) } else { off };
        self.push(code, base, src, off, op);
    }

    /// A lookup, of a key that is there in about half of all cases, and often a test for null.
    fn lookup(&mut self) {
        let index = self.rng.below(maps::maps().len() as u64);
        let size = maps::maps()[index as usize].key_size;
        let slot = -8 * (2 + self.rng.below(6) as i16);
        let reg = self.target();
        match self.rng.below(3) {
            0 => {
                let key = 3 * self.rng.below(18) as i32 + self.rng.below(2) as i32;
                self.push(0xb7, reg, 0, 0, key);
            }
            _ => self.push(0x57, reg, 0, 0, 0x1f),
        }
        self.push(if size == 4 { 0x63 } else { 0x7b }, 10, reg, slot, 0);
        if size == 16 {
            self.push(0x7b, 10, reg, slot + 8, 0);
        }
        // The key may change after all.
        let imm = self.rng.below(12) as i32;
        match self.rng.below(12) {
            0 => self.push(0x72, 10, 0, slot, imm),
            1 => self.push(0x62, 10, 0, slot - 4, imm),
            2 => self.push(0x7a, 10, 0, slot - 8, imm),
            3 => {
                self.push(0xbf, 4, 10, 0, 0);
                self.push(0x07, 4, 0, 0, slot.into());
                self.push(0x62, 4, 0, 0, imm);
            }
            4 => {
                self.push(0xb7, 3, 0, 0, imm);
                self.push(0xdb, 10, 3, slot, 0);
            }
            5 => self.push(0x55, reg, 0, 0, imm),
            _ => {}
        }
        self.push(0xbf, 2, 10, 0, 0);
        self.push(0x07, 2, 0, 0, slot.into());
        self.wide(1, maps::HANDLE + index);
        self.push(0x85, 0, 0, 0, 1);
        // Not the pointer itself: memory is in another place in another run.
        let (value, other) = (self.after_lookup(), self.rng.below(100) as i32);
        match self.rng.below(5) {
            0 => {
                // Some maps have values of one word.
                let off = if matches!(index, 0 | 2) { 0 } else { 8 };
                self.push(0x15, 0, 0, 1, 0);
                self.push(0x79, value, 0, off, 0);
            }
            1 => {
                self.push(0x15, 0, 0, 2, 0);
                self.push(0x79, value, 0, 0, 0);
                self.push(0x05, 0, 0, 1, 0);
                self.push(0xb7, value, 0, 0, other);
            }
            2 => {
                self.push(0x55, 0, 0, 2, 0);
                self.push(0xb7, value, 0, 0, other);
                self.push(0x05, 0, 0, 1, 0);
                self.push(0x79, value, 0, 0, 0);
            }
            3 => {
                self.push(0xb7, value, 0, 0, other);
                self.push(0x55, 0, 0, 1, 0);
                self.push(0x07, value, 0, 0, 1);
            }
            _ => {
                self.push(0xb7, value, 0, 0, other);
                self.push(0x1d, 0, value, 1, 0);
                self.push(0x77, value, 0, 0, 3);
            }
        }
        if self.rng.chance(50) {
            self.constant(0);
        } else {
            self.push(0x15, 0, 0, 1, 0);
            self.push(0xb7, 0, 0, 0, 7);
        }
    }

    /// A register that may be written and is not lost in a call.
    fn after_lookup(&mut self) -> u8 {
        loop {
            let reg = self.target();
            if reg >= 6 {
                return reg;
            }
        }
    }

    fn call(&mut self) {
        let counters: Vec<u8> = self.reserved.iter().copied().filter(|r| *r < 6).collect();
        if !counters.is_empty() {
            return;
        }
        let callee = self.index + 1;
        if self.shape.calls && callee < self.functions && self.depth == 0 && self.rng.chance(60) {
            let callee = callee + self.rng.below((self.functions - callee) as u64) as usize;
            let buffer = self.buffer;
            self.push(0xbf, 3, buffer, 0, 0);
            if self.shape.helpers && self.rng.chance(30) {
                // By way of a helper: function, then its second and third argument.
                self.push(0xbf, 2, buffer, 0, 0);
                self.addresses.push((self.out.len(), callee));
                self.push(0x18, 1, 4, 0, 0);
                self.push(0, 0, 0, 0, 0);
                self.push(0x85, 0, 0, 0, 202);
            } else {
                self.calls.push((self.out.len(), callee));
                self.push(0x85, 0, 1, 0, 0);
            }
        } else if self.shape.helpers && !self.shape.linux && self.rng.chance(60) {
            self.lookup();
        } else if self.shape.helpers {
            let id = self.rng.pick(&[200, 201]);
            self.push(0x85, 0, 0, 0, id);
        } else {
            return;
        }
        for reg in 1..6 {
            self.constant(reg);
        }
    }
}
