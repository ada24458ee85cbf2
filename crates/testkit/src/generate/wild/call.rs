//! Helpers, subprograms and callbacks.

use uapi::ProgType;

use super::{ANY, FP, Pending, T, WORDS, Wild};
use crate::generate::VALUE_SIZE;

const VALUE: i32 = VALUE_SIZE as i32;
/// Stack below the followed words, for keys and values of helpers.
const KEY: i32 = -8 * WORDS as i32 - 8;
const BLOCK: i32 = KEY - VALUE;

impl Wild {
    fn load_map(&mut self, reg: u8, fd: i32) {
        self.emit(0x18, reg, 1, 0, fd);
        self.emit(0, 0, 0, 0, 0);
    }

    fn stack_arg(&mut self, reg: u8, at: i32) {
        self.emit(0xbf, reg, FP, 0, 0);
        self.emit(0x07, reg, 0, 0, at);
    }

    /// Puts a key on the stack, r1 = map, r2 = key.
    fn map_and_key(&mut self) {
        let (fd, size) =
            if self.rng.one_in(2) { (self.maps.array, 0x62) } else { (self.maps.hash, 0x7a) };
        let key = self.rng.below(10) as i32;
        if self.rng.one_in(3) {
            let src = self.number();
            self.emit(size | 1, FP, src, KEY, 0);
        } else {
            self.emit(size, FP, 0, KEY, key);
        }
        self.load_map(1, fd);
        self.stack_arg(2, KEY);
    }

    /// Whether a call leaves everything dear alive.
    fn may_call(&mut self) -> bool {
        let lost = |r: usize| self.scene.regs[r] == T::Ctx || self.scene.locked & 1 << r != 0;
        let kept = (6..10).any(|r| self.scene.regs[r] == T::Ctx);
        if !(0..6).any(lost) {
            return true;
        }
        let only_ctx = (0..6).all(|r| !lost(r) || self.scene.regs[r] == T::Ctx);
        only_ctx && (kept || self.in_subprog)
    }

    pub(super) fn lookup(&mut self) {
        if !self.may_call() {
            return;
        }
        self.map_and_key();
        self.emit(0x85, 0, 0, 0, 1);
        self.clobber(T::OrNull(VALUE));
        let dst = 6 + self.rng.below(4) as u8;
        if self.scene.locked & 1 << dst == 0 && self.kind(dst) != T::Ctx {
            self.emit(0xbf, dst, 0, 0, 0);
            self.set(dst, T::OrNull(VALUE));
        }
        if self.rng.one_in(2) {
            self.check_null();
        }
    }

    /// A null check: of a copy, of a spilled one, on either side.
    pub(super) fn check_null(&mut self) {
        let Some(reg) = self.find(|t| matches!(t, T::OrNull(_))) else { return };
        let kind = self.kind(reg);
        let T::OrNull(size) = kind else { return };
        if self.rng.one_in(2) {
            self.emit(0x55, reg, 0, 2, 0);
        } else {
            self.emit(0x15, reg, 0, 1, 0);
            self.emit(0x05, 0, 0, 2, 0);
        }
        self.exit_here();
        // Copies learn as well; which ones share an origin is left to the verifier.
        self.set(reg, T::Mem(size, 0));
        if self.rng.one_in(3) {
            for other in 0..10 {
                if self.kind(other) == kind {
                    self.set(other, T::Mem(size, 0));
                }
            }
        }
    }

    pub(super) fn helper(&mut self) {
        if !self.may_call() {
            return;
        }
        match self.rng.below(11) {
            0 => {
                let id = self.rng.pick(&[5, 7, 8, 125]);
                self.emit(0x85, 0, 0, 0, id);
                self.clobber(ANY);
            }
            1..=2 => self.checksum(),
            3 => {
                self.emit(0x7a, FP, 0, BLOCK, 1);
                self.map_and_key();
                self.stack_arg(3, BLOCK);
                let flags = self.rng.below(3) as i32;
                self.emit(0xb7, 4, 0, 0, flags);
                self.emit(0x85, 0, 0, 0, 2);
                self.clobber(ANY);
            }
            4 => {
                self.map_and_key();
                self.emit(0x85, 0, 0, 0, 3);
                self.clobber(ANY);
            }
            5..=6 => self.change_packet(),
            7 => self.tail_call(),
            8..=9 => self.record(),
            _ if self.prog_type != ProgType::Xdp => self.load_bytes(),
            _ => self.lookup(),
        }
    }

    /// Memory and size: `csum_diff`, whose sizes may be variable or zero.
    fn checksum(&mut self) {
        let memory = self.find(|t| {
            matches!(t, T::Mem(behind, _) if behind >= 8) || matches!(t, T::Pkt(b) if b >= 8)
        });
        let source = memory.filter(|r| *r > 5 || *r == 0);
        let room = source.map_or(VALUE, |r| match self.kind(r) {
            T::Mem(behind, _) | T::Pkt(behind) => behind,
            _ => 8,
        });
        let index = self.bounded(room.min(VALUE) as u64);
        if self.rng.one_in(2) && (index == 0 || index > 5) && Some(index) != source {
            self.emit(0xbf, 2, index, 0, 0);
        } else {
            let size = self.rng.below(room.min(VALUE) as u64 / 4 + 1) as i32 * 4;
            let beyond = i32::from(self.fault()) * 64;
            self.emit(0xb7, 2, 0, 0, size + beyond);
        }
        match source {
            Some(reg) => self.emit(0xbf, 1, reg, 0, 0),
            None => self.stack_arg(1, BLOCK),
        }
        self.emit(0xb7, 3, 0, 0, 0);
        self.emit(0xb7, 4, 0, 0, 0);
        self.emit(0xb7, 5, 0, 0, 0);
        self.emit(0x85, 0, 0, 0, 28);
        self.clobber(ANY);
    }

    fn load_bytes(&mut self) {
        let Some(ctx) = self.find(|t| t == T::Ctx) else { return };
        if ctx < 6 {
            return;
        }
        let size = self.bounded(VALUE as u64);
        if size == 0 || size > 5 {
            self.emit(0xbf, 4, size, 0, 0);
        } else {
            self.emit(0xb7, 4, 0, 0, 8);
        }
        self.emit(0x15, 4, 0, 8, 0);
        self.emit(0xbf, 1, ctx, 0, 0);
        self.emit(0xb7, 2, 0, 0, 0);
        self.stack_arg(3, BLOCK);
        self.emit(0x85, 0, 0, 0, 26);
        self.clobber(ANY);
        self.emit(0xb7, 0, 0, 0, 0);
        self.emit(0xbf, 0, 0, 0, 0);
        self.emit(0xb7, 0, 0, 0, 0);
    }

    /// Packet pointers are lost, in callers too.
    fn change_packet(&mut self) {
        let Some(ctx) = (6..10u8).find(|r| self.kind(*r) == T::Ctx) else { return };
        self.emit(0xbf, 1, ctx, 0, 0);
        if self.prog_type == ProgType::Xdp {
            let (id, by) = self.rng.pick(&[(44, 4), (44, -8), (65, -4), (54, -4), (65, 4)]);
            self.emit(0xb7, 2, 0, 0, by);
            self.emit(0x85, 0, 0, 0, id);
        } else {
            self.emit(0xb7, 2, 0, 0, 32);
            self.emit(0x85, 0, 0, 0, 39); // skb_pull_data
        }
        self.clobber(ANY);
        if self.fault() {
            return;
        }
        let gone = |t: &mut T| {
            if matches!(t, T::Pkt(_) | T::End) {
                *t = T::Unset;
            }
        };
        self.scene.regs.iter_mut().for_each(gone);
        self.scene.words.iter_mut().for_each(gone);
    }

    fn tail_call(&mut self) {
        let Some(ctx) = (6..10u8).find(|r| self.kind(*r) == T::Ctx) else { return };
        if self.in_callback {
            return;
        }
        self.emit(0xbf, 1, ctx, 0, 0);
        self.load_map(2, self.maps.progs);
        let index = self.rng.below(6) as i32;
        self.emit(0xb7, 3, 0, 0, index);
        self.emit(0x85, 0, 0, 0, 12);
        self.clobber(ANY);
    }

    /// A ring record: reserved, checked, written, submitted.
    fn record(&mut self) {
        if self.in_callback || self.loops > 1 {
            return;
        }
        let size = 8 * (1 + self.rng.below(4) as i32);
        self.load_map(1, self.maps.ring);
        self.emit(0xb7, 2, 0, 0, size);
        self.emit(0xb7, 3, 0, 0, 0);
        self.emit(0x85, 0, 0, 0, 131);
        self.clobber(T::Unset);
        // if r0 == 0: r0 = 0, on
        self.emit(0x15, 0, 0, 5, 0);
        let src = FP;
        self.emit(0x61, 1, src, KEY, 0);
        let beyond = u64::from(self.fault());
        let at = self.rng.below(size as u64 / 4 + beyond) as i32 * 4;
        self.emit(0x63, 0, 1, at, 0);
        self.emit(0xbf, 1, 0, 0, 0);
        self.emit(0xb7, 2, 0, 0, 0);
        self.emit(0x85, 0, 0, 0, 132);
        self.emit(0xb7, 0, 0, 0, 0);
        self.clobber(ANY);
    }

    /// Nothing is held across statements yet.
    pub(super) fn release_records(&mut self) {}

    /// Arguments for a subprogram, from what registers hold.
    pub(super) fn call(&mut self) {
        if !self.may_call() || self.in_subprog && self.rng.one_in(2) {
            return;
        }
        let reuse = self
            .pending
            .iter()
            .position(|p| !p.callback && p.args.iter().all(|t| matches!(t, T::Num(_))));
        let count = 1 + self.rng.below(4) as u8;
        if let Some(number) = reuse
            && self.rng.one_in(2)
            && !self.in_subprog
        {
            for reg in 1..=self.pending[number].args.len() as u8 {
                let imm = self.rng.imm();
                self.emit(0xb7, reg, 0, 0, imm);
            }
            return self.call_subprog(number);
        }
        let mut args = Vec::new();
        for reg in 1..=count {
            let src = 6 + self.rng.below(5) as u8;
            match self.kind(src) {
                T::Unset => {
                    let imm = self.rng.imm();
                    self.emit(0xb7, reg, 0, 0, imm);
                    args.push(ANY);
                }
                T::Stack(off) => {
                    self.emit(0xbf, reg, src, 0, 0);
                    let at = -8 * (1 + self.rng.below(WORDS as u64) as i32);
                    self.emit(0x07, reg, 0, 0, at - off);
                    args.push(T::Mem(-at, 0));
                }
                kind => {
                    self.emit(0xbf, reg, src, 0, 0);
                    args.push(kind);
                }
            }
        }
        self.pending.push(Pending { args, callback: false, uses: Vec::new() });
        self.call_subprog(self.pending.len() - 1);
    }

    fn call_subprog(&mut self, number: usize) {
        self.pending[number].uses.push(self.insns.len());
        self.emit(0x85, 0, 1, 0, 0);
        self.clobber(ANY);
        // The callee may have written there.
        self.scene.words = [ANY; WORDS];
    }

    /// `bpf_loop` or `bpf_for_each_map_elem`.
    pub(super) fn callback(&mut self) {
        if !self.may_call() || self.in_callback || self.pending.len() > 3 {
            return;
        }
        let at = -8 * (1 + self.rng.below(WORDS as u64) as i32);
        let memory = T::Mem(-at, 0);
        let each = self.rng.one_in(2);
        let args = if each {
            vec![T::Unset, T::Unset, T::Mem(VALUE, 0), memory]
        } else {
            vec![ANY, memory]
        };
        if each {
            let fd = self.rng.pick(&[self.maps.array, self.maps.hash]);
            self.load_map(1, fd);
        } else if self.rng.one_in(2) {
            let turns = self.rng.below(20) as i32;
            self.emit(0xb7, 1, 0, 0, turns);
        } else {
            let turns = self.bounded(30);
            self.emit(0xbf, 1, turns, 0, 0);
        }
        self.pending.push(Pending { args, callback: true, uses: vec![self.insns.len()] });
        self.emit(0x18, 2, 4, 0, 0);
        self.emit(0, 0, 0, 0, 0);
        self.stack_arg(3, at);
        self.emit(0xb7, 4, 0, 0, 0);
        self.emit(0x85, 0, 0, 0, if each { 164 } else { 181 });
        self.clobber(ANY);
        self.scene.words = [ANY; WORDS];
    }
}
