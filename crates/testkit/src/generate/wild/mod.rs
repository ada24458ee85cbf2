//! The second generator: any register may hold any kind of pointer, and statements move pointers
//! about: through spills, calls, callbacks, additions in either order, comparisons of copies.
//!
//! It follows kinds and sizes roughly; a program in three breaks a rule somewhere.

mod access;
mod call;
mod flow;
mod number;

use isa::Insn;
use uapi::ProgType;

use super::Rng;

/// Maps by descriptor: array and hash (4- and 8-byte keys, values of 48 bytes), an array of
/// programs, a ring buffer.
#[derive(Clone, Copy, Debug)]
pub struct WildMaps {
    /// An array.
    pub array: i32,
    /// A hash.
    pub hash: i32,
    /// A program array of 4 entries.
    pub progs: i32,
    /// A ring buffer.
    pub ring: i32,
}

/// What the generator believes of a register or stack word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum T {
    Unset,
    /// A number of at most this value.
    Num(u64),
    Ctx,
    /// Packet, with so many bytes proven behind it.
    Pkt(i32),
    End,
    /// Memory that may be read and written, with so many bytes behind it and before it.
    Mem(i32, i32),
    /// A map value or ring record, unchecked; how large.
    OrNull(i32),
    /// Stack of this frame.
    Stack(i32),
}

const ANY: T = T::Num(u64::MAX);
const FP: u8 = 10;
/// Words of the stack that are followed.
const WORDS: usize = 12;
const SIZES: &[(u8, i32)] = &[(0x10, 1), (0x08, 2), (0x00, 4), (0x18, 8)];

/// What holds at one place of the program.
#[derive(Clone)]
struct Scene {
    regs: [T; 10],
    words: [T; WORDS],
    /// Registers that loops count in.
    locked: u16,
}

/// A subprogram still to be written: its arguments, and where it is referred to.
struct Pending {
    args: Vec<T>,
    /// Returns 0 or 1, called by a helper.
    callback: bool,
    uses: Vec<usize>,
}

struct Wild {
    rng: Rng,
    insns: Vec<Insn>,
    maps: WildMaps,
    prog_type: ProgType,
    faults: u64,
    scene: Scene,
    pending: Vec<Pending>,
    in_subprog: bool,
    in_callback: bool,
    loops: u32,
    /// Another statement may still be written.
    budget: u32,
}

/// The program that belongs to `seed`.
pub fn wild_program(seed: u64, maps: WildMaps, prog_type: ProgType) -> Vec<Insn> {
    let rng = Rng::new(seed ^ 0x7769_6c64_0000_0000);
    let scene = Scene { regs: [T::Unset; 10], words: [ANY; WORDS], locked: 0 };
    let mut wild = Wild {
        rng,
        insns: Vec::new(),
        maps,
        prog_type,
        faults: 90,
        scene,
        pending: Vec::new(),
        in_subprog: false,
        in_callback: false,
        loops: 0,
        budget: 40,
    };
    wild.main();
    wild.insns
}

impl Wild {
    fn main(&mut self) {
        self.scene.regs[1] = T::Ctx;
        let ctx = 6 + self.rng.below(4) as u8;
        self.emit(0xbf, ctx, 1, 0, 0);
        self.scene.regs[ctx as usize] = T::Ctx;
        self.load_packet();
        let count = 6 + self.rng.below(20);
        self.statements(count, 0);
        self.finish(false);
        let mut next = 0;
        while next < self.pending.len() {
            self.subprogram(next);
            next += 1;
        }
    }

    fn subprogram(&mut self, number: usize) {
        let start = self.insns.len();
        let callback = self.pending[number].callback;
        self.scene = Scene { regs: [T::Unset; 10], words: [ANY; WORDS], locked: 0 };
        for (n, arg) in self.pending[number].args.iter().enumerate() {
            self.scene.regs[n + 1] = *arg;
        }
        (self.in_subprog, self.in_callback, self.loops) = (true, callback, 1);
        self.budget = self.budget.max(12);
        let count = 1 + self.rng.below(6);
        self.statements(count, 2);
        self.finish(callback);
        for at in std::mem::take(&mut self.pending[number].uses) {
            self.insns[at].imm = (start as i64 - at as i64 - 1) as i32;
        }
    }

    fn finish(&mut self, callback: bool) {
        let number = (0..10u8).find(|r| matches!(self.scene.regs[*r as usize], T::Num(_)));
        self.release_records();
        match number {
            Some(reg) if !callback && self.rng.one_in(2) => self.emit(0xbf, 0, reg, 0, 0),
            _ => {
                let value = self.rng.below(2) as i32;
                self.emit(0xb7, 0, 0, 0, value);
            }
        }
        self.emit(0x95, 0, 0, 0, 0);
    }

    fn emit(&mut self, code: u8, dst: u8, src: u8, off: i32, imm: i32) {
        self.insns.push(Insn::new(code, dst, src, off as i16, imm));
    }

    fn fault(&mut self) -> bool {
        self.rng.one_in(self.faults)
    }

    fn set(&mut self, reg: u8, to: T) {
        if reg < 10 {
            self.scene.regs[reg as usize] = to;
        }
    }

    fn kind(&self, reg: u8) -> T {
        if reg < 10 { self.scene.regs[reg as usize] } else { T::Stack(0) }
    }

    /// A register of the wanted kind.
    fn find(&mut self, wanted: impl Fn(T) -> bool) -> Option<u8> {
        let start = self.rng.below(10) as u8;
        (0..10).map(|n| (start + n) % 10).find(|r| wanted(self.kind(*r)))
    }

    /// A register to write to: not one that a loop counts in, and rarely the last of its kind.
    fn free(&mut self) -> u8 {
        for _ in 0..8 {
            let reg = self.rng.below(10) as u8;
            let kind = self.kind(reg);
            let dear = matches!(kind, T::Ctx | T::End);
            let copies = (0..10).filter(|r| self.kind(*r) == kind).count();
            if self.scene.locked & 1 << reg == 0 && !(dear && copies == 1) {
                return reg;
            }
        }
        let start = self.rng.below(10) as u8;
        let open = |r: &u8| self.scene.locked & 1 << r == 0 && self.kind(*r) != T::Ctx;
        (0..10).map(|n| (start + n) % 10).find(open).unwrap_or(start)
    }

    /// A register other than `not` to write to.
    fn free_but(&mut self, not: u8) -> u8 {
        for _ in 0..16 {
            let reg = self.free();
            if reg != not {
                return reg;
            }
        }
        (not + 1) % 10
    }

    fn statements(&mut self, count: u64, depth: u32) {
        for _ in 0..count {
            if self.budget == 0 {
                return;
            }
            self.budget -= 1;
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: u32) {
        match self.rng.below(if depth < 3 { 34 } else { 26 }) {
            0..=3 => self.alu(),
            4 => self.special(),
            5 => self.bound(),
            6..=7 => self.spill(),
            8..=9 => self.fill(),
            10 => self.copy(),
            11..=12 => self.step_pointer(),
            13..=15 => self.variable_access(),
            16..=18 => self.access(),
            19 => self.load_packet(),
            20..=21 => self.check_packet(),
            22 => self.lookup(),
            23 => self.check_null(),
            24..=25 => self.helper(),
            26 => self.call(),
            27 => self.callback(),
            28..=31 => self.branch(depth),
            _ => self.looping(depth),
        }
    }

    /// A call's effect.
    fn clobber(&mut self, r0: T) {
        self.scene.regs[1..6].fill(T::Unset);
        self.scene.regs[0] = r0;
    }

    /// What holds after either of two paths.
    fn join(&mut self, other: &Scene) {
        let join = |a: T, b: T| match (a, b) {
            (a, b) if a == b => a,
            (T::Num(a), T::Num(b)) => T::Num(a.max(b)),
            (T::Pkt(a), T::Pkt(b)) => T::Pkt(a.min(b)),
            (T::Mem(a, b), T::Mem(c, d)) => T::Mem(a.min(c), b.min(d)),
            _ => T::Unset,
        };
        for (mine, theirs) in self.scene.regs.iter_mut().zip(&other.regs) {
            *mine = join(*mine, *theirs);
        }
        for (mine, theirs) in self.scene.words.iter_mut().zip(&other.words) {
            *mine = join(*mine, *theirs);
        }
    }

    fn patch(&mut self, jump: usize, target: usize) {
        let to = target as i64 - jump as i64 - 1;
        match self.insns[jump].code {
            0x06 => self.insns[jump].imm = to as i32,
            _ => self.insns[jump].off = to as i16,
        }
    }
}
