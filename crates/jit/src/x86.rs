//! The x86-64 encoder: the sixty-odd forms that the compiler uses, bytes only.
//!
//! It knows nothing of bytecode. Each method appends one machine instruction; jumps are written
//! in their long form and shortened later (see `layout`).

use crate::host::{Host, Mem, W};

/// Condition codes as in the low nibble of `jcc`, `setcc` and `cmovcc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cc(pub(crate) u8);

impl Cc {
    pub(crate) const B: Cc = Cc(2);
    pub(crate) const AE: Cc = Cc(3);
    pub(crate) const E: Cc = Cc(4);
    pub(crate) const NE: Cc = Cc(5);
    pub(crate) const BE: Cc = Cc(6);
    pub(crate) const A: Cc = Cc(7);
    pub(crate) const NS: Cc = Cc(9);
    pub(crate) const L: Cc = Cc(12);
    pub(crate) const GE: Cc = Cc(13);
    pub(crate) const LE: Cc = Cc(14);
    pub(crate) const G: Cc = Cc(15);
}

/// Two-operand arithmetic, numbered as in the opcodes `op*8 + form` and `81 /op`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arith {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// Shifts and rotates, numbered as in `c1 /op`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shift {
    Rol = 0,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// One-operand arithmetic, numbered as in `f7 /op`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unary {
    Not = 2,
    Neg = 3,
    Div = 6,
    Idiv = 7,
}

/// A register or memory operand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rm {
    Reg(Host),
    Mem(Mem),
}

/// Longest instruction we write, with room for one whole copy.
const CHUNK: usize = 24;

const NO_PREFIX: u8 = 0;
const OPERAND16: u8 = 0x66;
const LOCK: u8 = 0xf0;
const REP: u8 = 0xf3;

/// Which opcode table a byte is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Map {
    One,
    Of,
    Of38,
}

/// Machine code under construction.
#[derive(Default)]
pub(crate) struct Asm {
    buf: Vec<u8>,
    len: usize,
}

/// One instruction under construction.
struct Bytes {
    at: [u8; CHUNK],
    len: usize,
}

impl Bytes {
    fn new() -> Bytes {
        Bytes { at: [0; CHUNK], len: 0 }
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.at[self.len & 15] = byte;
        self.len += 1;
    }

    #[inline(always)]
    fn imm32(&mut self, imm: i32) {
        let at = self.len & 15;
        self.at[at..at + 4].copy_from_slice(&imm.to_le_bytes());
        self.len += 4;
    }

    #[inline(always)]
    fn imm64(&mut self, imm: u64) {
        let at = self.len & 15;
        self.at[at..at + 8].copy_from_slice(&imm.to_le_bytes());
        self.len += 8;
    }

    /// ModRM, SIB and displacement.
    #[inline(always)]
    fn modrm(&mut self, reg: u8, rm: Rm) {
        let reg = (reg & 7) << 3;
        match rm {
            Rm::Reg(h) => self.push(0xc0 | reg | (h.0 & 7)),
            Rm::Mem(mem) => self.address(reg, &mem),
        }
    }

    fn address(&mut self, reg: u8, mem: &Mem) {
        let Some(base) = mem.base else {
            let index = mem.index.map_or(4, |i| i.0 & 7);
            self.push(reg | 4);
            self.push(mem.scale << 6 | index << 3 | 5);
            self.imm32(mem.disp);
            return;
        };
        let low = base.0 & 7;
        let mode = match mem.disp {
            0 if low != 5 => 0x00,
            -128..=127 => 0x40,
            _ => 0x80,
        };
        match mem.index {
            Some(index) => {
                self.push(mode | reg | 4);
                self.push(mem.scale << 6 | (index.0 & 7) << 3 | low);
            }
            None if low == 4 => {
                self.push(mode | reg | 4);
                self.push(0x24);
            }
            None => self.push(mode | reg | low),
        }
        match mode {
            0x40 => self.push(mem.disp as u8),
            0x80 => self.imm32(mem.disp),
            _ => {}
        }
    }
}

fn high(h: Host) -> u8 {
    h.0 >> 3
}

/// The bits X and B of a prefix.
fn xb(rm: Rm) -> (u8, u8) {
    match rm {
        Rm::Reg(h) => (0, high(h)),
        Rm::Mem(m) => (m.index.map_or(0, high), m.base.map_or(0, high)),
    }
}

impl Asm {
    pub(crate) fn with_capacity(bytes: usize) -> Asm {
        Asm { buf: vec![0; bytes + CHUNK], len: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }

    /// Forgets everything after `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Room of `count` bytes.
    pub(crate) fn zeros(&mut self, count: usize) {
        for done in (0..count).step_by(CHUNK) {
            self.put(&Bytes { at: [0; CHUNK], len: CHUNK.min(count - done) });
        }
    }

    #[inline(always)]
    fn put(&mut self, bytes: &Bytes) {
        if self.buf.len() < self.len + CHUNK {
            let size = (self.buf.len() * 2).max(4096);
            self.buf.resize(size, 0);
        }
        self.buf[self.len..self.len + CHUNK].copy_from_slice(&bytes.at);
        self.len += bytes.len;
    }

    /// Prefix, REX, opcode and operands; `byte` says that a register operand is a byte.
    #[inline(always)]
    fn head(prefix: u8, w: W, map: Map, code: u8, reg: u8, rm: Rm, byte: bool) -> Bytes {
        let mut b = Bytes::new();
        if prefix != NO_PREFIX {
            b.push(prefix);
        }
        let (x, bb) = xb(rm);
        let rex = ((w == W::W64) as u8) << 3 | (reg >> 3 & 1) << 2 | x << 1 | bb;
        // Without REX, numbers 4 to 7 would name AH to BH.
        let force = byte && (matches!(rm, Rm::Reg(h) if h.0 >= 4) || (reg & 15) >= 4);
        if rex != 0 || force {
            b.push(0x40 | rex);
        }
        if map != Map::One {
            b.push(0x0f);
        }
        if map == Map::Of38 {
            b.push(0x38);
        }
        b.push(code);
        b.modrm(reg, rm);
        b
    }

    #[inline(always)]
    fn op(&mut self, w: W, code: u8, reg: u8, rm: Rm) {
        self.put(&Asm::head(NO_PREFIX, w, Map::One, code, reg, rm, false));
    }

    #[inline(always)]
    fn op0f(&mut self, w: W, code: u8, reg: u8, rm: Rm, byte: bool) {
        self.put(&Asm::head(NO_PREFIX, w, Map::Of, code, reg, rm, byte));
    }

    /// `dst = src`, zero-extending for 32 bits.
    pub(crate) fn mov(&mut self, w: W, dst: Host, src: Host) {
        self.op(w, 0x89, src.0, Rm::Reg(dst));
    }

    /// The shortest form for `value`; leaves the flags alone if `keep_flags`.
    pub(crate) fn mov_imm(&mut self, dst: Host, value: u64, keep_flags: bool) {
        let mut b = Bytes::new();
        if value == 0 && !keep_flags {
            return self.op(W::W32, 0x31, dst.0, Rm::Reg(dst));
        }
        if value <= u64::from(u32::MAX) {
            if high(dst) != 0 {
                b.push(0x41);
            }
            b.push(0xb8 | (dst.0 & 7));
            b.imm32(value as u32 as i32);
        } else if value as i64 >= i64::from(i32::MIN) && (value as i64) < 0 {
            b.push(0x48 | high(dst));
            b.push(0xc7);
            b.push(0xc0 | (dst.0 & 7));
            b.imm32(value as i32);
        } else {
            b.push(0x48 | high(dst));
            b.push(0xb8 | (dst.0 & 7));
            b.imm64(value);
        }
        self.put(&b);
    }

    /// Zero-extending moves of 8 and 16 bits, and sign-extending ones of 8, 16 and 32.
    pub(crate) fn extend(&mut self, w: W, bits: u32, signed: bool, dst: Host, src: Rm) {
        match (bits, signed) {
            (8, false) => self.op0f(W::W32, 0xb6, dst.0, src, matches!(src, Rm::Reg(_))),
            (16, false) => self.op0f(W::W32, 0xb7, dst.0, src, false),
            (8, true) => self.op0f(w, 0xbe, dst.0, src, matches!(src, Rm::Reg(_))),
            (16, true) => self.op0f(w, 0xbf, dst.0, src, false),
            _ => self.op(W::W64, 0x63, dst.0, src),
        }
    }

    /// Whole-word load.
    pub(crate) fn load(&mut self, w: W, dst: Host, mem: Mem) {
        self.op(w, 0x8b, dst.0, Rm::Mem(mem));
    }

    /// Stores the low 2^`log` bytes of `src`.
    pub(crate) fn store(&mut self, log: u8, mem: Mem, src: Host) {
        let rm = Rm::Mem(mem);
        let bytes = match log {
            0 => Asm::head(NO_PREFIX, W::W32, Map::One, 0x88, src.0, rm, true),
            1 => Asm::head(OPERAND16, W::W32, Map::One, 0x89, src.0, rm, false),
            2 => Asm::head(NO_PREFIX, W::W32, Map::One, 0x89, src.0, rm, false),
            _ => Asm::head(NO_PREFIX, W::W64, Map::One, 0x89, src.0, rm, false),
        };
        self.put(&bytes);
    }

    /// Stores an immediate in 2^`log` bytes, sign-extended to eight.
    pub(crate) fn store_imm(&mut self, log: u8, mem: Mem, imm: i32) {
        let (prefix, w, code) = match log {
            0 => (NO_PREFIX, W::W32, 0xc6),
            1 => (OPERAND16, W::W32, 0xc7),
            2 => (NO_PREFIX, W::W32, 0xc7),
            _ => (NO_PREFIX, W::W64, 0xc7),
        };
        let mut b = Asm::head(prefix, w, Map::One, code, 0, Rm::Mem(mem), false);
        match log {
            0 => b.push(imm as u8),
            1 => {
                b.push(imm as u8);
                b.push((imm >> 8) as u8);
            }
            _ => b.imm32(imm),
        }
        self.put(&b);
    }

    pub(crate) fn lea(&mut self, w: W, dst: Host, mem: Mem) {
        self.op(w, 0x8d, dst.0, Rm::Mem(mem));
    }

    /// `dst op= src`.
    pub(crate) fn arith(&mut self, w: W, op: Arith, dst: Host, src: Rm) {
        self.op(w, (op as u8) << 3 | 3, dst.0, src);
    }

    /// `dst op= imm`.
    pub(crate) fn arith_imm(&mut self, w: W, op: Arith, dst: Rm, imm: i32) {
        let small = i8::try_from(imm).is_ok();
        let code = if small { 0x83 } else { 0x81 };
        let mut b = Asm::head(NO_PREFIX, w, Map::One, code, op as u8, dst, false);
        if small {
            b.push(imm as u8);
        } else {
            b.imm32(imm);
        }
        self.put(&b);
    }

    pub(crate) fn test(&mut self, w: W, a: Host, b: Host) {
        self.op(w, 0x85, b.0, Rm::Reg(a));
    }

    /// Sets the flags by `a & imm`.
    pub(crate) fn test_imm(&mut self, w: W, a: Host, imm: i32) {
        if (0..128).contains(&imm) {
            let mut b = Asm::head(NO_PREFIX, W::W32, Map::One, 0xf6, 0, Rm::Reg(a), true);
            b.push(imm as u8);
            return self.put(&b);
        }
        let mut b = Asm::head(NO_PREFIX, w, Map::One, 0xf7, 0, Rm::Reg(a), false);
        b.imm32(imm);
        self.put(&b);
    }

    /// `dst = src * imm`.
    pub(crate) fn imul_imm(&mut self, w: W, dst: Host, src: Host, imm: i32) {
        let small = i8::try_from(imm).is_ok();
        let code = if small { 0x6b } else { 0x69 };
        let mut b = Asm::head(NO_PREFIX, w, Map::One, code, dst.0, Rm::Reg(src), false);
        if small {
            b.push(imm as u8);
        } else {
            b.imm32(imm);
        }
        self.put(&b);
    }

    /// `dst *= src`.
    pub(crate) fn imul(&mut self, w: W, dst: Host, src: Host) {
        self.op0f(w, 0xaf, dst.0, Rm::Reg(src), false);
    }

    pub(crate) fn unary(&mut self, w: W, op: Unary, dst: Host) {
        self.op(w, 0xf7, op as u8, Rm::Reg(dst));
    }

    /// Sign-extends RAX into RDX.
    pub(crate) fn sign_rdx(&mut self, w: W) {
        let mut b = Bytes::new();
        if w == W::W64 {
            b.push(0x48);
        }
        b.push(0x99);
        self.put(&b);
    }

    pub(crate) fn shift_imm(&mut self, w: W, op: Shift, dst: Host, count: u8) {
        let code = if count == 1 { 0xd1 } else { 0xc1 };
        let mut b = Asm::head(NO_PREFIX, w, Map::One, code, op as u8, Rm::Reg(dst), false);
        if count != 1 {
            b.push(count);
        }
        self.put(&b);
    }

    /// Rotates the low 16 bits of `dst` by eight.
    pub(crate) fn swap16(&mut self, dst: Host) {
        let mut b = Asm::head(OPERAND16, W::W32, Map::One, 0xc1, 0, Rm::Reg(dst), false);
        b.push(8);
        self.put(&b);
    }

    /// Shifts by CL.
    pub(crate) fn shift_cl(&mut self, w: W, op: Shift, dst: Host) {
        self.op(w, 0xd3, op as u8, Rm::Reg(dst));
    }

    /// BMI2: `dst = src shifted by count`, no flags. `op` is not a rotate.
    pub(crate) fn shift_x(&mut self, w: W, op: Shift, dst: Host, src: Host, count: Host) {
        let pp = match op {
            Shift::Shl => 1,
            Shift::Sar => 2,
            _ => 3,
        };
        let b = Asm::vex(2, pp, w, 0xf7, dst, count, src);
        self.put(&b);
    }

    /// BMI2: `dst = src rotated right by count`, no flags.
    pub(crate) fn rorx(&mut self, w: W, dst: Host, src: Host, count: u8) {
        let mut b = Asm::vex(3, 3, w, 0xf0, dst, Host(0), src);
        b.push(count);
        self.put(&b);
    }

    fn vex(map: u8, pp: u8, w: W, code: u8, reg: Host, v: Host, rm: Host) -> Bytes {
        let mut b = Bytes::new();
        b.push(0xc4);
        b.push((1 - high(reg)) << 7 | 1 << 6 | (1 - high(rm)) << 5 | map);
        b.push(((w == W::W64) as u8) << 7 | (15 - v.0) << 3 | pp);
        b.push(code);
        b.modrm(reg.0, Rm::Reg(rm));
        b
    }

    /// `dst` = number of bits set in `src`.
    pub(crate) fn popcnt(&mut self, w: W, dst: Host, src: Host) {
        self.put(&Asm::head(REP, w, Map::Of, 0xb8, dst.0, Rm::Reg(src), false));
    }

    pub(crate) fn bswap(&mut self, w: W, dst: Host) {
        let mut b = Bytes::new();
        let rex = 0x40 | ((w == W::W64) as u8) << 3 | high(dst);
        if rex != 0x40 {
            b.push(rex);
        }
        b.push(0x0f);
        b.push(0xc8 | (dst.0 & 7));
        self.put(&b);
    }

    /// Exchanges register and memory; locked by itself.
    pub(crate) fn xchg(&mut self, w: W, mem: Mem, reg: Host) {
        self.op(w, 0x87, reg.0, Rm::Mem(mem));
    }

    /// `lock op [mem], src`.
    pub(crate) fn lock_arith(&mut self, w: W, op: Arith, mem: Mem, src: Host) {
        let code = (op as u8) << 3 | 1;
        self.put(&Asm::head(LOCK, w, Map::One, code, src.0, Rm::Mem(mem), false));
    }

    /// `lock xadd [mem], src`.
    pub(crate) fn lock_xadd(&mut self, w: W, mem: Mem, src: Host) {
        self.put(&Asm::head(LOCK, w, Map::Of, 0xc1, src.0, Rm::Mem(mem), false));
    }

    /// `lock cmpxchg [mem], src`, comparing with RAX.
    pub(crate) fn lock_cmpxchg(&mut self, w: W, mem: Mem, src: Host) {
        self.put(&Asm::head(LOCK, w, Map::Of, 0xb1, src.0, Rm::Mem(mem), false));
    }

    pub(crate) fn push(&mut self, h: Host) {
        let mut b = Bytes::new();
        if high(h) != 0 {
            b.push(0x41);
        }
        b.push(0x50 | (h.0 & 7));
        self.put(&b);
    }

    pub(crate) fn pop(&mut self, h: Host) {
        let mut b = Bytes::new();
        if high(h) != 0 {
            b.push(0x41);
        }
        b.push(0x58 | (h.0 & 7));
        self.put(&b);
    }

    pub(crate) fn ret(&mut self) {
        self.raw(&[0xc3]);
    }

    /// `jmp rel32`; the caller keeps the place.
    pub(crate) fn jmp(&mut self) {
        self.raw(&[0xe9, 0, 0, 0, 0]);
    }

    pub(crate) fn jcc(&mut self, cc: Cc) {
        self.raw(&[0x0f, 0x80 | cc.0, 0, 0, 0, 0]);
    }

    pub(crate) fn call(&mut self) {
        self.raw(&[0xe8, 0, 0, 0, 0]);
    }

    /// `call [rip + rel32]`.
    pub(crate) fn call_pool(&mut self) {
        self.raw(&[0xff, 0x15, 0, 0, 0, 0]);
    }

    pub(crate) fn call_mem(&mut self, mem: Mem) {
        self.op(W::W32, 0xff, 2, Rm::Mem(mem));
    }

    pub(crate) fn jmp_reg(&mut self, h: Host) {
        self.op(W::W32, 0xff, 4, Rm::Reg(h));
    }

    /// `lea dst, [rip + rel32]`.
    pub(crate) fn lea_rip(&mut self, dst: Host) {
        self.raw(&[0x48 | high(dst) << 2, 0x8d, (dst.0 & 7) << 3 | 5, 0, 0, 0, 0]);
    }

    fn raw(&mut self, bytes: &[u8]) {
        let mut b = Bytes::new();
        for &byte in bytes {
            b.push(byte);
        }
        self.put(&b);
    }
}

#[cfg(test)]
mod tests;
