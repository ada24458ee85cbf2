//! Memory: the stack, packets, map values, the context.

use uapi::ProgType;

use super::{ANY, FP, SIZES, T, WORDS, Wild};

impl Wild {
    /// Where the context holds the packet's start and end.
    fn packet_fields(&self) -> (i32, i32) {
        if self.prog_type == ProgType::Xdp { (0, 4) } else { (76, 80) }
    }

    pub(super) fn load_packet(&mut self) {
        let Some(ctx) = self.find(|t| t == T::Ctx) else { return };
        let (data, end) = self.packet_fields();
        let first = self.free_but(ctx);
        self.emit(0x61, first, ctx, data, 0);
        self.set(first, T::Pkt(0));
        if self.find(|t| t == T::End).is_none() || self.rng.one_in(2) {
            let second = self.free_but(ctx);
            if second != first {
                self.emit(0x61, second, ctx, end, 0);
                self.set(second, T::End);
            }
        }
    }

    /// A comparison with the end of the packet, in one of its spellings.
    pub(super) fn check_packet(&mut self) {
        let Some(ptr) = self.find(|t| matches!(t, T::Pkt(_))) else { return self.load_packet() };
        let Some(end) = self.find(|t| t == T::End) else { return self.load_packet() };
        let probe = self.free_but(ptr);
        if probe == end {
            return;
        }
        let bytes = 1 + self.rng.below(40) as i32;
        if self.rng.one_in(4) {
            // The pointer itself moves first.
            let index = self.bounded(63);
            if index == ptr || index == end || self.scene.locked & 1 << ptr != 0 {
                return;
            }
            self.emit(0x0f, ptr, index, 0, 0);
            if probe == index {
                return self.set(ptr, T::Pkt(0));
            }
        }
        self.emit(0xbf, probe, ptr, 0, 0);
        self.emit(0x07, probe, 0, 0, bytes);
        self.set(probe, T::Pkt(0));
        let (code, a, b, skips) = self.rng.pick(&[
            (0xbdu8, probe, end, true),
            (0x3d, end, probe, true),
            (0xad, probe, end, true),
            (0x2d, end, probe, true),
            (0x2d, probe, end, false),
            (0xad, end, probe, false),
            (0x3d, probe, end, false),
            (0xbd, end, probe, false),
        ]);
        if skips {
            self.emit(code, a, b, 2, 0);
        } else {
            self.emit(code, a, b, 1, 0);
            self.emit(0x05, 0, 0, 2, 0);
        }
        self.exit_here();
        if !self.fault() {
            self.set(ptr, T::Pkt(bytes));
        }
    }

    pub(super) fn copy(&mut self) {
        let src = self.rng.below(11) as u8;
        if self.kind(src) == T::Unset && !self.fault() {
            return;
        }
        let dst = self.free_but(src);
        let kind = self.kind(src);
        self.emit(0xbf, dst, src, 0, 0);
        self.set(dst, kind);
    }

    /// Adds a constant to a pointer.
    pub(super) fn step_pointer(&mut self) {
        let Some(reg) = self.find(|t| matches!(t, T::Mem(..) | T::Stack(_) | T::Pkt(_))) else {
            return self.copy();
        };
        let dst = if self.rng.one_in(2) { reg } else { self.free_but(reg) };
        if self.scene.locked & 1 << dst != 0 {
            return;
        }
        let kind = self.kind(reg);
        let by = self.rng.below(24) as i32 - 8;
        if dst != reg {
            self.emit(0xbf, dst, reg, 0, 0);
        }
        match self.rng.below(3) {
            0 => self.emit(0x17, dst, 0, 0, -by),
            _ => self.emit(0x07, dst, 0, 0, by),
        }
        let moved = match kind {
            T::Mem(behind, before) => T::Mem(behind - by, before + by),
            T::Stack(off) => T::Stack(off + by),
            T::Pkt(room) => T::Pkt((room - by).max(0)),
            other => other,
        };
        self.set(dst, moved);
    }

    /// Bytes behind a pointer, and before it.
    fn room(&self, kind: T) -> Option<(i32, i32)> {
        match kind {
            T::Mem(behind, before) => Some((behind, before)),
            T::Pkt(behind) => Some((behind, 0)),
            T::Stack(off) => Some((-off, 8 * WORDS as i32 + off)),
            _ => None,
        }
    }

    /// One load or store at `ptr + off`.
    fn touch(&mut self, ptr: u8, off: i32, size: u8, bytes: i32) {
        let stack = matches!(self.kind(ptr), T::Stack(_));
        let packet = matches!(self.kind(ptr), T::Pkt(_));
        let aligned = bytes >= 4 && !packet;
        match self.rng.below(12) {
            0..=3 => {
                let dst = self.free();
                self.emit(0x61 | size, dst, ptr, off, 0);
                let max = if bytes == 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
                self.set(dst, T::Num(max));
            }
            4 if bytes < 8 => {
                let dst = self.free();
                self.emit(0x81 | size, dst, ptr, off, 0);
                self.set(dst, ANY);
            }
            5 => {
                let imm = self.rng.imm();
                self.emit(0x62 | size, ptr, 0, off, imm);
            }
            6 if aligned => {
                let src = self.number();
                let imm = self.rng.pick(&[0, 0x40, 0x50, 0xa0, 1, 0x41, 0x51, 0xa1, 0xe1, 0xf1]);
                self.emit(0xc3 | size, ptr, src, off, imm);
                if imm == 0xf1 {
                    self.set(0, ANY);
                } else if imm & 1 == 1 {
                    self.set(src, ANY);
                }
            }
            7 if !packet => {
                let dst = self.free();
                self.emit(0xc3 | size, dst, ptr, off, 0x100); // load-acquire
                self.set(dst, ANY);
            }
            8 if !packet => {
                let src = self.number();
                self.emit(0xc3 | size, ptr, src, off, 0x110); // store-release
            }
            _ => {
                let src = self.number();
                self.emit(0x63 | size, ptr, src, off, 0);
            }
        }
        if stack {
            self.scene.words.iter_mut().for_each(|w| *w = if *w == T::Unset { *w } else { ANY });
        }
    }

    /// An access at a fixed offset.
    pub(super) fn access(&mut self) {
        if self.rng.one_in(6) {
            return self.context();
        }
        let fault = self.fault();
        let Some(ptr) = self
            .find(|t| matches!(t, T::Mem(..) | T::Stack(_) | T::Pkt(_)) || fault && t != T::Unset)
        else {
            return self.lookup();
        };
        let (size, bytes) = self.rng.pick(SIZES);
        let (behind, before) = self.room(self.kind(ptr)).unwrap_or((8, 0));
        let span = behind - bytes + before + 1;
        if span <= 0 {
            return;
        }
        let mut off = self.rng.below(span as u64) as i32 - before;
        if bytes >= 4 && matches!(self.kind(ptr), T::Stack(_)) {
            off &= !7;
        }
        if self.fault() {
            off += 8;
        }
        self.touch(ptr, off, size, bytes);
    }

    /// Fields of the context.
    fn context(&mut self) {
        let Some(ctx) = self.find(|t| t == T::Ctx) else { return };
        let fields: &[i32] = if self.prog_type == ProgType::Xdp {
            &[12, 16, 12]
        } else {
            &[0, 4, 8, 16, 48, 52, 60]
        };
        let off = self.rng.pick(fields);
        if off >= 48 && self.rng.one_in(2) {
            let src = self.number();
            return self.emit(0x63, ctx, src, off, 0);
        }
        let dst = self.free_but(ctx);
        self.emit(0x61, dst, ctx, off, 0);
        self.set(dst, T::Num(u32::MAX.into()));
    }

    /// A pointer and a number in range are added, or subtracted, and what is there is used.
    pub(super) fn variable_access(&mut self) {
        let Some(base) = self.find(|t| matches!(t, T::Mem(..) | T::Pkt(_) | T::Stack(_))) else {
            return self.lookup();
        };
        let base = if self.rng.one_in(4) { FP } else { base };
        let (size, bytes) = self.rng.pick(SIZES);
        let (behind, before) = self.room(self.kind(base)).unwrap_or((0, 0));
        let room = behind - bytes;
        let back = base == FP || before > 16 && self.rng.one_in(2);
        let (start, room) =
            if back { (-before.min(64), before.min(64) - bytes) } else { (0, room) };
        if room < 0 {
            return;
        }
        let index = self.bounded(room as u64);
        let kind = self.kind(base);
        if index == base {
            return;
        }
        let ptr = match self.rng.below(4) {
            0 if self.scene.locked & 1 << index == 0 => {
                // The number takes in the pointer.
                self.emit(0x0f, index, base, 0, 0);
                self.emit(0x07, index, 0, 0, start);
                index
            }
            1 => {
                // From the far end backwards.
                let ptr = self.free_but(base);
                if ptr == index {
                    return;
                }
                self.emit(0xbf, ptr, base, 0, 0);
                self.emit(0x07, ptr, 0, 0, start + room);
                self.emit(0x1f, ptr, index, 0, 0);
                ptr
            }
            2 => {
                // A negative number is added.
                let ptr = self.free_but(base);
                if ptr == index || self.scene.locked & 1 << index != 0 {
                    return;
                }
                self.emit(0x87, index, 0, 0, 0);
                self.set(index, ANY);
                self.emit(0xbf, ptr, base, 0, 0);
                self.emit(0x0f, ptr, index, 0, 0);
                self.emit(0x07, ptr, 0, 0, start + room);
                ptr
            }
            _ => {
                let ptr = self.free_but(base);
                if ptr == index {
                    return;
                }
                self.emit(0xbf, ptr, base, 0, 0);
                if self.rng.one_in(2) {
                    self.emit(0x07, ptr, 0, 0, start);
                    self.emit(0x0f, ptr, index, 0, 0);
                } else {
                    self.emit(0x0f, ptr, index, 0, 0);
                    self.emit(0x07, ptr, 0, 0, start);
                }
                ptr
            }
        };
        if let T::Pkt(_) = kind
            && self.rng.one_in(2)
        {
            // Proven anew, as Linux wants it after a variable step.
            let (Some(end), probe) = (self.find(|t| t == T::End), self.free_but(ptr)) else {
                return self.set(ptr, T::Unset);
            };
            if probe != end {
                self.emit(0xbf, probe, ptr, 0, 0);
                self.emit(0x07, probe, 0, 0, bytes);
                self.emit(0xbd, probe, end, 2, 0);
                self.exit_here();
                self.set(probe, T::Pkt(0));
            }
        }
        self.set(ptr, kind);
        self.touch(ptr, 0, size, bytes);
        if self.kind(ptr) == kind {
            let still = self.rng.one_in(4);
            self.set(ptr, if still { T::Mem(bytes, 0) } else { T::Unset });
        }
    }

    pub(super) fn spill(&mut self) {
        let word = self.rng.below(WORDS as u64) as usize;
        let at = -8 * (word as i32 + 1);
        if self.rng.one_in(3) {
            let (size, bytes) = self.rng.pick(SIZES);
            let shift = bytes * self.rng.below((8 / bytes) as u64) as i32;
            let src = self.number();
            self.emit(0x63 | size, FP, src, at + shift, 0);
            return self.scene.words[word] = ANY;
        }
        let Some(reg) = self.find(|t| t != T::Unset) else { return };
        self.emit(0x7b, FP, reg, at, 0);
        self.scene.words[word] = self.kind(reg);
    }

    pub(super) fn fill(&mut self) {
        let word = self.rng.below(WORDS as u64) as usize;
        let at = -8 * (word as i32 + 1);
        let kind = self.scene.words[word];
        let dst = self.free();
        if let T::Num(_) = kind
            && self.rng.one_in(2)
        {
            let (size, bytes) = self.rng.pick(SIZES);
            let shift = bytes * self.rng.below((8 / bytes) as u64) as i32;
            let mode = if bytes < 8 && self.rng.one_in(3) { 0x81 } else { 0x61 };
            self.emit(mode | size, dst, FP, at + shift, 0);
            return self.set(dst, ANY);
        }
        if kind == T::Unset && !self.fault() {
            return;
        }
        self.emit(0x79, dst, FP, at, 0);
        self.set(dst, kind);
    }
}
