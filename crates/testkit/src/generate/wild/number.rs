//! Arithmetic, and bringing numbers into range.

use super::{ANY, T, Wild};

const ALU: &[u8] = &[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0];

impl Wild {
    /// A register with a number, made if there is none.
    pub(super) fn number(&mut self) -> u8 {
        if self.fault() {
            return self.rng.below(10) as u8;
        }
        if let Some(reg) = self.find(|t| matches!(t, T::Num(_))) {
            return reg;
        }
        let reg = self.free();
        let imm = self.rng.imm();
        self.emit(0xb7, reg, 0, 0, imm);
        self.set(reg, ANY);
        reg
    }

    /// A number that may be overwritten.
    fn own_number(&mut self) -> u8 {
        let reg = self.number();
        if self.scene.locked & 1 << reg == 0 {
            return reg;
        }
        let copy = self.free();
        self.emit(0xbf, copy, reg, 0, 0);
        self.set(copy, ANY);
        copy
    }

    pub(super) fn alu(&mut self) {
        let dst = self.own_number();
        let class = if self.rng.one_in(3) { 0x04 } else { 0x07 };
        let op = self.rng.pick(ALU);
        let signed = i32::from(matches!(op, 0x30 | 0x90) && self.rng.one_in(3));
        if self.rng.one_in(2) {
            let src = self.number();
            self.emit(class | op | 8, dst, src, signed, 0);
        } else {
            let imm = match op {
                0x60 | 0x70 | 0xc0 => self.rng.below(if class == 4 { 32 } else { 64 }) as i32,
                0x30 | 0x90 => self.rng.imm() | 1,
                _ => self.rng.imm(),
            };
            self.emit(class | op, dst, 0, signed, imm);
        }
        self.set(dst, ANY);
    }

    pub(super) fn special(&mut self) {
        let dst = self.own_number();
        match self.rng.below(8) {
            0 => {
                let code = self.rng.pick(&[0x84, 0x87]);
                self.emit(code, dst, 0, 0, 0);
            }
            1 => {
                let code = self.rng.pick(&[0xd4, 0xdc, 0xd7]);
                let bits = self.rng.pick(&[16, 32, 64]);
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
            4 => {
                let src = self.number();
                self.emit(0xbc, dst, src, 0, 0);
            }
            5 => {
                // A sign extension as old compilers write it.
                let by = self.rng.pick(&[32, 48, 56]);
                self.emit(0x67, dst, 0, 0, by);
                let code = self.rng.pick(&[0xc7, 0x77]);
                self.emit(code, dst, 0, 0, by);
            }
            6 => {
                // Differences of pointers are numbers.
                let Some(ptr) = self.find(|t| matches!(t, T::Pkt(_) | T::End)) else { return };
                let Some(by) = self.find(|t| matches!(t, T::Pkt(_))) else { return };
                let copy = self.free_but(by);
                self.emit(0xbf, copy, ptr, 0, 0);
                self.emit(0x1f, copy, by, 0, 0);
                return self.set(copy, ANY);
            }
            _ => {
                let value = self.rng.next() >> self.rng.below(64);
                self.emit(0x18, dst, 0, 0, value as i32);
                self.emit(0, 0, 0, 0, (value >> 32) as i32);
            }
        }
        self.set(dst, ANY);
    }

    pub(super) fn bound(&mut self) {
        let limit = self.rng.below(64);
        self.bounded(limit);
    }

    /// A number of at most `limit`, in one of many spellings.
    pub(super) fn bounded(&mut self, limit: u64) -> u8 {
        if let Some(reg) = self.find(|t| matches!(t, T::Num(max) if max <= limit))
            && self.rng.one_in(3)
        {
            return reg;
        }
        let reg = self.own_number();
        if self.fault() {
            return reg;
        }
        let top = limit.min(i32::MAX as u64) as i32;
        match self.rng.below(9) {
            0 => {
                let code = self.rng.pick(&[0x57, 0x54]);
                self.emit(code, reg, 0, 0, (top as u32 + 1).next_power_of_two() as i32 / 2 - 1);
            }
            1 => {
                self.emit(0xb5, reg, 0, 2, top); // if reg <= limit
                self.exit_here();
            }
            2 => {
                self.emit(0xb6, reg, 0, 2, top); // the low half
                self.exit_here();
                self.emit(0xbc, reg, reg, 0, 0);
            }
            3 => {
                // Both signed ends.
                self.emit(0xc5, reg, 0, 1, 0);
                self.emit(0xd5, reg, 0, 2, top);
                self.exit_here();
            }
            4 => {
                // The same on the low half.
                self.emit(0xc6, reg, 0, 1, 0);
                self.emit(0xd6, reg, 0, 2, top);
                self.exit_here();
                self.emit(0xbc, reg, reg, 0, 0);
            }
            5 => self.emit(0x97, reg, 0, 0, top + 1), // %=
            6 => {
                // Only bits below are clear above.
                let mask = !((top as u32 + 1).next_power_of_two() / 2).wrapping_sub(1) as i32;
                self.emit(0x45, reg, 0, 1, mask);
                self.emit(0x05, 0, 0, 2, 0);
                self.exit_here();
            }
            7 => {
                // A copy is compared: both learn.
                let copy = self.free_but(reg);
                self.emit(0xbf, copy, reg, 0, 0);
                let back = self.rng.one_in(2);
                self.emit(0xb5, if back { reg } else { copy }, 0, 2, top);
                self.exit_here();
                self.set(copy, T::Num(limit));
            }
            _ => {
                // Compared with a register that holds a number.
                let other = self.free_but(reg);
                self.emit(0xb7, other, 0, 0, top);
                let (code, a, b) =
                    self.rng.pick(&[(0xbd, reg, other), (0x3d, other, reg), (0x1d, reg, other)]);
                self.emit(code, a, b, 2, 0);
                self.exit_here();
                self.set(other, T::Num(limit));
            }
        }
        self.set(reg, T::Num(limit));
        reg
    }

    /// Two instructions that end the program.
    pub(super) fn exit_here(&mut self) {
        self.emit(0xb7, 0, 0, 0, 0);
        self.emit(0x95, 0, 0, 0, 0);
    }
}
