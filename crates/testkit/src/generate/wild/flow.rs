//! Branches and loops.

use uapi::ProgType;

use super::{ANY, T, Wild};

const COND: &[u8] = &[0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];

impl Wild {
    fn condition(&mut self) -> usize {
        let dst = self.number();
        let class = if self.rng.one_in(3) { 0x06 } else { 0x05 };
        let op = self.rng.pick(COND);
        if self.rng.one_in(2) {
            let src = self.number();
            self.emit(class | op | 8, dst, src, 0, 0);
        } else {
            let imm = self.rng.imm();
            self.emit(class | op, dst, 0, 0, imm);
        }
        self.insns.len() - 1
    }

    pub(super) fn branch(&mut self, depth: u32) {
        if self.rng.one_in(8) && self.prog_type != ProgType::Xdp {
            return self.packet_word();
        }
        let jump = self.condition();
        let before = self.scene.clone();
        let count = 1 + self.rng.below(3);
        self.statements(count, depth + 1);
        if self.rng.one_in(2) {
            let over = self.insns.len();
            let code = if self.rng.one_in(4) { 0x06 } else { 0x05 };
            self.emit(code, 0, 0, 0, 0);
            self.patch(jump, self.insns.len());
            let after = std::mem::replace(&mut self.scene, before);
            let count = 1 + self.rng.below(3);
            self.statements(count, depth + 1);
            self.patch(over, self.insns.len());
            self.join(&after);
        } else {
            self.patch(jump, self.insns.len());
            self.join(&before);
        }
    }

    /// `ld_abs` and `ld_ind`: the context in r6, everything else as after a call.
    fn packet_word(&mut self) {
        if self.kind(6) != T::Ctx || self.scene.locked & 0x3f != 0 {
            return;
        }
        let size = self.rng.pick(&[0x10u8, 0x08, 0x00]);
        let at = self.rng.below(80) as i32;
        if self.rng.one_in(2) {
            self.emit(0x20 | size, 0, 0, 0, at);
        } else {
            let src = self.number();
            self.emit(0x40 | size, 0, src, 0, at);
        }
        self.clobber(ANY);
    }

    pub(super) fn looping(&mut self, depth: u32) {
        if self.loops >= 3 {
            return self.alu();
        }
        self.loops += 1;
        let counter = self.free();
        let free_counter = self.scene.locked & 1 << counter == 0
            && (counter >= 6 || self.rng.one_in(3))
            && self.kind(counter) != T::Ctx;
        if !free_counter {
            return self.alu();
        }
        let budget = self.rng.one_in(3);
        let limit = 1 + self.rng.below(9) as i32;
        self.emit(0xb7, counter, 0, 0, 0);
        self.set(counter, T::Num(limit as u64));
        self.scene.locked |= 1 << counter;
        let head = self.insns.len();
        if budget {
            self.emit(0xe5, 0, 0, 0, 0); // may_goto
        }
        let before = self.scene.clone();
        let count = 1 + self.rng.below(3);
        self.statements(count, depth + 1);
        self.join(&before);
        // What the body changed must hold again at its head.
        for reg in 0..10u8 {
            let was = before.regs[reg as usize];
            if reg != counter && self.kind(reg) != was && matches!(was, T::Num(_)) {
                self.emit(0xb7, reg, 0, 0, 0);
                self.set(reg, T::Num(0));
            }
        }
        if !self.fault() {
            self.emit(0x07, counter, 0, 0, 1);
        }
        let back = self.insns.len();
        if budget {
            self.emit(0x05, 0, 0, 0, 0);
            self.patch(back, head);
            self.patch(head, self.insns.len());
        } else {
            let code = self.rng.pick(&[0xa5u8, 0xc5, 0x55, 0xa6]);
            self.emit(code, counter, 0, 0, limit);
            self.patch(back, head);
        }
        self.scene.locked &= !(1 << counter);
        self.set(counter, ANY);
    }
}
