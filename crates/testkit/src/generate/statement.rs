//! Statements of random programs, each leaving the registers in a state it declares.

use isa::Insn;

use super::{MapFds, PROVEN, Rng, Shape, VALUE_SIZE};

/// What the generator believes of a register; the verifier may know better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Unset,
    Number,
    /// A number of at most this value.
    Small(u32),
    Pointer,
}

const CTX: u8 = 6;
const PKT: u8 = 7;
const END: u8 = 8;
const VALUE: u8 = 9;
const FP: u8 = 10;
const SCRATCH: u8 = 6;
const MAX_DEPTH: u32 = 3;
/// Words of the stack that numbers are spilled to: fp-8, fp-16, …
const SPILLS: usize = 6;

const ALU: &[u8] = &[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0];
const COND: &[u8] = &[0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
const SIZES: &[(u8, i16)] = &[(0x10, 1), (0x08, 2), (0x00, 4), (0x18, 8)];
const ATOMIC: &[i32] = &[0x00, 0x40, 0x50, 0xa0, 0x01, 0x41, 0x51, 0xa1, 0xe1];

pub(crate) struct Body {
    pub(crate) rng: Rng,
    insns: Vec<Insn>,
    maps: MapFds,
    shape: Shape,
    kinds: [Kind; 10],
    spilled: [bool; SPILLS],
    /// r9 is known to be non-null.
    value_checked: bool,
    packet_checked: bool,
    in_subprog: bool,
    loops: u32,
    subprogs: usize,
    calls: Vec<(usize, usize)>,
}

impl Body {
    pub(crate) fn new(rng: Rng, maps: MapFds, shape: Shape, subprogs: usize) -> Body {
        Body {
            rng,
            insns: Vec::new(),
            maps,
            shape,
            kinds: [Kind::Unset; 10],
            spilled: [false; SPILLS],
            value_checked: false,
            packet_checked: false,
            in_subprog: false,
            loops: 0,
            subprogs,
            calls: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Vec<Insn> {
        self.insns
    }

    fn emit(&mut self, code: u8, dst: u8, src: u8, off: i16, imm: i32) {
        self.insns.push(Insn::new(code, dst, src, off, imm));
    }

    /// A rule is broken here.
    fn fault(&mut self) -> bool {
        self.shape.faults != 0 && self.rng.one_in(self.shape.faults)
    }

    pub(crate) fn prologue(&mut self) {
        self.emit(0xbf, CTX, 1, 0, 0);
        self.emit(0x61, PKT, CTX, 0, 0);
        self.emit(0x61, END, CTX, 4, 0);
        self.kinds = [Kind::Unset; 10];
        for reg in [1, CTX, PKT, END] {
            self.kinds[reg as usize] = Kind::Pointer;
        }
        self.packet_check();
        self.lookup();
        for reg in 0..SCRATCH {
            if !self.fault() {
                let imm = self.rng.imm();
                self.set_number(reg, imm);
            }
        }
    }

    fn set_number(&mut self, reg: u8, imm: i32) {
        self.emit(0xb7, reg, 0, 0, imm);
        self.kinds[reg as usize] = if imm >= 0 { Kind::Small(imm as u32) } else { Kind::Number };
    }

    /// `if data + PROVEN > end: exit`, in one of its spellings.
    fn packet_check(&mut self) {
        if self.fault() {
            return;
        }
        let reg = self.rng.below(SCRATCH.into()) as u8;
        self.emit(0xbf, reg, PKT, 0, 0);
        self.emit(0x07, reg, 0, 0, PROVEN.into());
        match self.rng.below(4) {
            0 => self.emit(0xbd, reg, END, 2, 0), // if reg <= end
            1 => self.emit(0x3d, END, reg, 2, 0), // if end >= reg
            2 => self.emit(0xad, reg, END, 2, 0), // if reg < end
            _ => self.emit(0x2d, END, reg, 2, 0), // if end > reg
        }
        self.emit(0xb7, 0, 0, 0, 1);
        self.emit(0x95, 0, 0, 0, 0);
        self.kinds[reg as usize] = Kind::Pointer;
        self.packet_checked = true;
    }

    /// r9 = lookup in one of the maps, with or without a null check.
    fn lookup(&mut self) {
        let (fd, key) = if self.rng.one_in(2) { (self.maps.array, 4) } else { (self.maps.hash, 8) };
        let at = -64;
        let index = self.rng.below(6) as i32;
        self.emit(if key == 4 { 0x62 } else { 0x7a }, FP, 0, at, index);
        self.emit(0xbf, 2, FP, 0, 0);
        self.emit(0x07, 2, 0, 0, at.into());
        self.emit(0x18, 1, 1, 0, fd);
        self.emit(0, 0, 0, 0, 0);
        self.emit(0x85, 0, 0, 0, 1);
        self.clobber(Kind::Pointer);
        self.emit(0xbf, VALUE, 0, 0, 0);
        self.kinds[VALUE as usize] = Kind::Pointer;
        self.value_checked = false;
        if !self.fault() {
            self.emit(0x55, VALUE, 0, 2, 0);
            self.emit(0xb7, 0, 0, 0, 0);
            self.emit(0x95, 0, 0, 0, 0);
            self.value_checked = true;
        }
        self.set_number(0, index);
    }

    /// A call's effect: r0 set, r1 to r5 gone.
    fn clobber(&mut self, r0: Kind) {
        self.kinds[0] = r0;
        self.kinds[1..6].fill(Kind::Unset);
    }

    fn is_number(&self, reg: u8) -> bool {
        matches!(self.kinds[reg as usize], Kind::Number | Kind::Small(_))
    }

    /// A register with a number, made if there is none; any register once in a while.
    fn number(&mut self) -> u8 {
        if self.fault() {
            return self.rng.below(10) as u8;
        }
        let start = self.rng.below(SCRATCH.into()) as u8;
        let found = (0..SCRATCH).map(|i| (start + i) % SCRATCH).find(|r| self.is_number(*r));
        found.unwrap_or_else(|| {
            let imm = self.rng.imm();
            self.set_number(start, imm);
            start
        })
    }

    /// A number of at most `limit`, masked or compared into range.
    fn bounded(&mut self, limit: u32) -> u8 {
        let reg = self.number();
        if reg >= SCRATCH || self.fault() {
            return reg;
        }
        match self.rng.below(3) {
            0 => {
                let mask = (limit + 1).next_power_of_two() / 2;
                let code = self.rng.pick(&[0x57, 0x54]);
                self.emit(code, reg, 0, 0, mask as i32 - 1);
            }
            1 => {
                // if reg <= limit goto +2; r0 = 0; exit
                let code = if self.rng.one_in(3) { 0xb6 } else { 0xb5 };
                self.emit(code, reg, 0, 2, limit as i32);
                self.emit(0xb7, 0, 0, 0, 0);
                self.emit(0x95, 0, 0, 0, 0);
                if code == 0xb6 {
                    // Only the low half was compared.
                    self.emit(0xbc, reg, reg, 0, 0);
                }
            }
            _ => {
                let bits = (limit + 1).ilog2() as i32;
                let (code, width) = self.rng.pick(&[(0x74, 32), (0x77, 64)]);
                self.emit(code, reg, 0, 0, (width - bits).min(width - 1));
                if bits == 0 {
                    self.emit(0xb7, reg, 0, 0, 0);
                }
            }
        }
        self.kinds[reg as usize] = Kind::Small(limit);
        reg
    }

    pub(crate) fn statements(&mut self, count: u64, depth: u32) {
        for _ in 0..count {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: u32) {
        match self.rng.below(if depth < MAX_DEPTH { 24 } else { 18 }) {
            0..=4 => self.alu(),
            5 => self.move_special(),
            6..=7 => self.spill(),
            8..=9 => self.fill(),
            10..=11 => self.packet(),
            12..=13 => self.map_value(),
            14 => self.atomic(),
            15 => self.helper(),
            16 => self.stack_variable(),
            17 => self.call(),
            18..=20 => self.branch(depth),
            21..=22 => self.looping(depth),
            _ => self.switch_checks(),
        }
    }

    fn alu(&mut self) {
        let dst = self.number();
        let class = if self.rng.one_in(3) { 0x04 } else { 0x07 };
        let op = self.rng.pick(ALU);
        if self.rng.one_in(2) {
            let src = self.number();
            let off = i16::from(matches!(op, 0x30 | 0x90) && self.rng.one_in(4));
            self.emit(class | op | 8, dst, src, off, 0);
        } else {
            let imm = self.alu_imm(op, class);
            self.emit(class | op, dst, 0, 0, imm);
        }
        if dst < SCRATCH {
            self.kinds[dst as usize] = Kind::Number;
        }
    }

    /// An immediate that the operation takes: shifts below the width, divisors not zero.
    fn alu_imm(&mut self, op: u8, class: u8) -> i32 {
        match op {
            _ if self.fault() => self.rng.imm(),
            0x60 | 0x70 | 0xc0 => self.rng.below(if class == 4 { 32 } else { 64 }) as i32,
            0x30 | 0x90 => self.rng.imm() | 1,
            _ => self.rng.imm(),
        }
    }

    /// neg, byte swaps, sign-extending moves, 64-bit immediates.
    fn move_special(&mut self) {
        let dst = self.number();
        if dst >= SCRATCH {
            return;
        }
        match self.rng.below(5) {
            0 => {
                let code = self.rng.pick(&[0x84, 0x87]);
                self.emit(code, dst, 0, 0, 0);
            }
            1 => {
                let (code, bits) =
                    (self.rng.pick(&[0xd4, 0xdc, 0xd7]), self.rng.pick(&[16, 32, 64]));
                self.emit(code, dst, 0, 0, bits);
            }
            2 => {
                let (src, bits) = (self.number(), self.rng.pick(&[8, 16, 32]));
                self.emit(0xbf, dst, src, bits, 0);
            }
            3 => {
                let (src, bits) = (self.number(), self.rng.pick(&[8, 16]));
                self.emit(0xbc, dst, src, bits, 0);
            }
            _ => {
                let value = self.rng.next() >> self.rng.below(64);
                self.emit(0x18, dst, 0, 0, value as i32);
                self.emit(0, 0, 0, 0, (value >> 32) as i32);
            }
        }
        self.kinds[dst as usize] = Kind::Number;
    }

    fn spill_slot(&mut self) -> usize {
        self.rng.below(SPILLS as u64) as usize
    }

    fn spill(&mut self) {
        let slot = self.spill_slot();
        let base = -8 * (slot as i16 + 1);
        let (size, bytes) = self.rng.pick(SIZES);
        let shift = if bytes == 8 { 0 } else { bytes * self.rng.below((8 / bytes) as u64) as i16 };
        if self.rng.one_in(4) {
            let imm = self.rng.imm();
            self.emit(0x62 | size, FP, 0, base + shift, imm);
        } else if self.rng.one_in(5) && !self.in_subprog {
            // A pointer, to be filled again at once.
            let reg = self.rng.pick(&[CTX, PKT, END, VALUE]);
            self.emit(0x7b, FP, reg, base, 0);
            self.emit(0x79, reg, FP, base, 0);
        } else {
            let src = self.number();
            self.emit(0x63 | size, FP, src, base + shift, 0);
        }
        if bytes == 8 {
            self.spilled[slot] = true;
        }
    }

    fn fill(&mut self) {
        let slot = self.spill_slot();
        if !self.spilled[slot] && !self.fault() {
            return self.spill();
        }
        let (size, bytes) = self.rng.pick(SIZES);
        let shift = if bytes == 8 { 0 } else { bytes * self.rng.below((8 / bytes) as u64) as i16 };
        let dst = self.rng.below(SCRATCH.into()) as u8;
        let signed = bytes != 8 && self.rng.one_in(4);
        let mode = if signed { 0x81 } else { 0x61 };
        self.emit(mode | size, dst, FP, -8 * (slot as i16 + 1) + shift, 0);
        self.kinds[dst as usize] = Kind::Number;
    }

    fn packet(&mut self) {
        if self.in_subprog {
            return self.alu();
        }
        let (size, bytes) = self.rng.pick(SIZES);
        let dst = self.rng.below(SCRATCH.into()) as u8;
        if self.rng.one_in(3) {
            return self.packet_variable(size, bytes);
        }
        let room = if self.fault() { 64 } else { PROVEN - bytes + 1 };
        let off = self.rng.below(room.max(1) as u64) as i16;
        if self.rng.one_in(4) {
            let src = self.number();
            self.emit(0x63 | size, PKT, src, off, 0);
        } else {
            self.emit(0x61 | size, dst, PKT, off, 0);
            self.kinds[dst as usize] = Kind::Number;
        }
    }

    /// reg = data + number; checked against the end; then a load through it.
    fn packet_variable(&mut self, size: u8, bytes: i16) {
        let index = self.bounded(255);
        let (ptr, probe) = (self.other(index), self.other(index));
        if ptr == probe || index >= SCRATCH {
            return;
        }
        self.emit(0xbf, ptr, PKT, 0, 0);
        self.emit(0x0f, ptr, index, 0, 0);
        self.emit(0xbf, probe, ptr, 0, 0);
        self.emit(0x07, probe, 0, 0, bytes.into());
        let (kinds, spilled) = (self.kinds, self.spilled);
        if !self.fault() {
            self.emit(0x2d, probe, END, 1, 0);
        }
        self.emit(0x61 | size, ptr, ptr, 0, 0);
        (self.kinds, self.spilled) = (kinds, spilled);
        // Two paths meet: one with a number, one with a pointer.
        self.kinds[ptr as usize] = Kind::Unset;
        self.kinds[probe as usize] = Kind::Unset;
    }

    /// A scratch register that is not `reg`.
    fn other(&mut self, reg: u8) -> u8 {
        let pick = self.rng.below(SCRATCH as u64 - 1) as u8;
        if pick >= reg { pick + 1 } else { pick }
    }

    fn map_value(&mut self) {
        if self.in_subprog || (!self.value_checked && !self.fault()) {
            return self.alu();
        }
        let (size, bytes) = self.rng.pick(SIZES);
        let room = VALUE_SIZE as i16 - bytes;
        if self.rng.one_in(3) {
            let index = self.bounded(room as u32);
            let ptr = self.other(index);
            if index < SCRATCH && ptr < SCRATCH {
                self.emit(0xbf, ptr, VALUE, 0, 0);
                self.emit(0x0f, ptr, index, 0, 0);
                self.emit(0x61 | size, ptr, ptr, 0, 0);
                self.kinds[ptr as usize] = Kind::Number;
            }
            return;
        }
        let beyond = u64::from(self.fault()) * 8;
        let off = self.rng.below(room as u64 + 1 + beyond) as i16;
        if self.rng.one_in(2) {
            let src = self.number();
            self.emit(0x63 | size, VALUE, src, off, 0);
        } else {
            let dst = self.rng.below(SCRATCH.into()) as u8;
            self.emit(0x61 | size, dst, VALUE, off, 0);
            self.kinds[dst as usize] = Kind::Number;
        }
    }

    fn atomic(&mut self) {
        let (code, off) = self.rng.pick(&[(0xc3u8, 4i16), (0xdb, 8)]);
        let imm = self.rng.pick(ATOMIC);
        let src = self.number();
        if src >= SCRATCH {
            return;
        }
        let to_value = self.value_checked && !self.in_subprog && self.rng.one_in(2);
        if to_value {
            let word = self.rng.below(4) as i16;
            self.emit(code, VALUE, src, off * word, imm);
        } else {
            let slot = self.spill_slot();
            if !self.spilled[slot] {
                return self.spill();
            }
            self.emit(code, FP, src, -8 * (slot as i16 + 1), imm);
        }
        if imm & 1 == 1 {
            self.kinds[src as usize] = Kind::Number;
        }
    }

    fn helper(&mut self) {
        const PLAIN: &[i32] = &[5, 7, 8]; // ktime_get_ns, get_prandom_u32, get_smp_processor_id
        if self.rng.one_in(3) && !self.in_subprog {
            return self.lookup();
        }
        if self.shape.repeatable {
            return self.alu();
        }
        let id = self.rng.pick(PLAIN);
        self.emit(0x85, 0, 0, 0, id);
        self.clobber(Kind::Number);
    }

    /// A byte of the stack at a computed offset.
    fn stack_variable(&mut self) {
        for slot in 0..2 {
            if !self.spilled[slot] {
                self.emit(0x7a, FP, 0, -8 * (slot as i16 + 1), 0);
                self.spilled[slot] = true;
            }
        }
        let index = self.bounded(15);
        let ptr = self.other(index);
        if index >= SCRATCH {
            return;
        }
        self.emit(0xbf, ptr, FP, 0, 0);
        self.emit(0x07, ptr, 0, 0, -16);
        self.emit(0x0f, ptr, index, 0, 0);
        if self.rng.one_in(2) {
            self.emit(0x71, ptr, ptr, 0, 0);
        } else {
            self.emit(0x73, ptr, index, 0, 0);
            self.emit(0xb7, ptr, 0, 0, 0);
        }
        self.kinds[ptr as usize] = Kind::Number;
    }

    fn call(&mut self) {
        if self.subprogs == 0 || self.in_subprog {
            return self.alu();
        }
        for reg in 1..=2 {
            if !self.is_number(reg) {
                let imm = self.rng.imm();
                self.set_number(reg, imm);
            }
        }
        let target = self.rng.below(self.subprogs as u64) as usize;
        self.calls.push((self.insns.len(), target));
        self.emit(0x85, 0, 1, 0, 0);
        self.clobber(Kind::Number);
    }

    fn condition(&mut self, off: i16) {
        let dst = self.number();
        let class = if self.rng.one_in(3) { 0x06 } else { 0x05 };
        let op = self.rng.pick(COND);
        if self.rng.one_in(2) {
            let src = self.number();
            self.emit(class | op | 8, dst, src, off, 0);
        } else {
            let imm = self.rng.imm();
            self.emit(class | op, dst, 0, off, imm);
        }
    }

    /// What holds after either of two paths.
    fn join(&mut self, other: &([Kind; 10], [bool; SPILLS], bool)) {
        for (kind, theirs) in self.kinds.iter_mut().zip(other.0) {
            *kind = match (*kind, theirs) {
                (a, b) if a == b => a,
                (Kind::Number | Kind::Small(_), Kind::Number | Kind::Small(_)) => Kind::Number,
                _ => Kind::Unset,
            };
        }
        for (slot, theirs) in self.spilled.iter_mut().zip(other.1) {
            *slot &= theirs;
        }
        self.value_checked &= other.2;
    }

    fn branch(&mut self, depth: u32) {
        self.condition(0);
        let jump = self.insns.len() - 1;
        let before = (self.kinds, self.spilled, self.value_checked);
        let count = 1 + self.rng.below(4);
        self.statements(count, depth + 1);
        if self.rng.one_in(2) {
            let over = self.insns.len();
            self.emit(0x05, 0, 0, 0, 0);
            self.patch(jump, self.insns.len());
            let after = (self.kinds, self.spilled, self.value_checked);
            (self.kinds, self.spilled, self.value_checked) = before;
            let count = 1 + self.rng.below(4);
            self.statements(count, depth + 1);
            self.patch(over, self.insns.len());
            self.join(&after);
        } else {
            self.patch(jump, self.insns.len());
            self.join(&before);
        }
    }

    fn patch(&mut self, jump: usize, target: usize) {
        self.insns[jump].off = (target as i64 - jump as i64 - 1) as i16;
    }

    /// A loop that counts in a stack word of its own.
    fn looping(&mut self, depth: u32) {
        if self.loops >= 3 {
            return self.alu();
        }
        self.loops += 1;
        let at = -72 - 8 * self.loops as i16;
        let limit = 1 + self.rng.below(12) as i32;
        self.emit(0x7a, FP, 0, at, 0);
        let head = self.insns.len();
        let before = (self.kinds, self.spilled, self.value_checked);
        // What the body changes cannot be relied on at its head.
        let count = 1 + self.rng.below(3);
        self.statements(count, depth + 1);
        self.join(&before);
        let reg = self.rng.below(SCRATCH.into()) as u8;
        self.emit(0x79, reg, FP, at, 0);
        if !self.fault() {
            self.emit(0x07, reg, 0, 0, 1);
        }
        self.emit(0x7b, FP, reg, at, 0);
        for other in 0..SCRATCH {
            if other != reg && self.kinds[other as usize] != before.0[other as usize] {
                self.set_number(other, 0);
            }
        }
        let back = self.insns.len();
        self.emit(0xa5, reg, 0, 0, limit);
        self.patch(back, head);
        self.kinds[reg as usize] = Kind::Number;
    }

    /// Loses what is known, so that later accesses have to check anew.
    fn switch_checks(&mut self) {
        if self.in_subprog {
            return self.alu();
        }
        if self.rng.one_in(2) { self.packet_check() } else { self.lookup() }
    }

    pub(crate) fn epilogue(&mut self) {
        match self.rng.below(3) {
            0 => self.emit(0xb7, 0, 0, 0, 2),
            _ => {
                let src = self.number();
                if src != 0 {
                    self.emit(0xbf, 0, src, 0, 0);
                }
            }
        }
        self.emit(0x95, 0, 0, 0, 0);
    }

    /// The subprograms that were called: numbers in, a number out.
    pub(crate) fn subprograms(&mut self) {
        let called: Vec<usize> =
            (0..self.subprogs).filter(|n| self.calls.iter().any(|c| c.1 == *n)).collect();
        for number in called {
            let start = self.insns.len();
            for (at, _) in self.calls.iter().filter(|c| c.1 == number) {
                self.insns[*at].imm = (start as i64 - *at as i64 - 1) as i32;
            }
            self.in_subprog = true;
            self.kinds = [Kind::Unset; 10];
            self.kinds[1..3].fill(Kind::Number);
            self.spilled = [false; SPILLS];
            self.loops = 2;
            let count = 2 + self.rng.below(6);
            self.statements(count, 2);
            self.epilogue();
        }
    }
}
