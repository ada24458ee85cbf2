//! Where each bytecode register's value is at one point of the machine code.
//!
//! A value need not exist yet: copies, constants, sums that an address can express, and cheap
//! operations by a constant stay symbolic until something needs them in a register. Whatever dies
//! before that costs nothing, and whatever an address or a rotate can absorb is absorbed.

use crate::host::{Host, Mem, W};

/// A cheap operation with a constant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UnOp {
    Shl,
    Shr,
    Sar,
    Rol,
    And,
    Mul,
    /// The low half, zero-extended.
    Low,
}

/// What a bytecode register holds, in terms of what host registers hold now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Val {
    /// Nothing anybody will read.
    Dead,
    Reg(Host),
    Const(u64),
    /// An address-like sum, cut to `w`.
    Lea(W, Mem),
    /// `op` on `h` and a constant, in width `w`.
    Un(UnOp, W, Host, i32),
}

impl Val {
    /// The host registers it depends on, one bit each.
    #[inline]
    pub(crate) fn hosts(&self) -> u16 {
        match self {
            Val::Dead | Val::Const(_) => 0,
            Val::Reg(h) | Val::Un(_, _, h, _) => h.bit(),
            Val::Lea(_, mem) => mem.base.map_or(0, Host::bit) | mem.index.map_or(0, Host::bit),
        }
    }

    /// The same value after the content of `from` was copied to `to`.
    pub(crate) fn renamed(self, from: Host, to: Host) -> Val {
        let name = |h: Host| if h == from { to } else { h };
        match self {
            Val::Dead | Val::Const(_) => self,
            Val::Reg(h) => Val::Reg(name(h)),
            Val::Un(op, w, h, imm) => Val::Un(op, w, name(h), imm),
            Val::Lea(w, mem) => {
                let (base, index) = (mem.base.map(name), mem.index.map(name));
                Val::Lea(w, Mem { base, index, ..mem })
            }
        }
    }
}

/// Number of the frame pointer.
pub(crate) const FP: u8 = 10;

/// Bytecode registers and those that stand for stack slots.
pub(crate) const REGS: usize = 16;

/// The state at one point.
#[derive(Clone)]
pub(crate) struct State {
    vals: [Val; REGS],
    /// How many values depend on each host register.
    refs: [u8; 16],
    /// Registers that are not [`Val::Dead`].
    alive: u16,
    /// Host registers with references.
    used: u16,
    /// Host registers whose upper half is zero.
    zero_extended: u16,
}

impl State {
    /// Nothing is live but the frame pointer, `frame` bytes above the stack pointer.
    pub(crate) fn new(frame: i32) -> State {
        let mut state =
            State { vals: [Val::Dead; REGS], refs: [0; 16], alive: 0, used: 0, zero_extended: 0 };
        state.set(FP, Val::Lea(W::W64, Mem::at(Host::RSP, frame)));
        state
    }

    #[inline]
    pub(crate) fn val(&self, reg: u8) -> Val {
        self.vals[reg as usize & 15]
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, reg: u8, val: Val) {
        let bit = 1 << (reg & 15);
        self.alive = if val == Val::Dead { self.alive & !bit } else { self.alive | bit };
        let place = &mut self.vals[reg as usize & 15];
        let (new, old) = (val.hosts(), place.hosts());
        *place = val;
        if new != old {
            self.add_refs(new);
            self.drop_refs(old);
        }
    }

    #[inline]
    fn add_refs(&mut self, mut set: u16) {
        self.used |= set;
        while set != 0 {
            self.refs[set.trailing_zeros() as usize & 15] += 1;
            set &= set - 1;
        }
    }

    #[inline]
    fn drop_refs(&mut self, mut set: u16) {
        while set != 0 {
            let h = set.trailing_zeros() as usize & 15;
            self.refs[h] -= 1;
            if self.refs[h] == 0 {
                self.used &= !(1 << h);
            }
            set &= set - 1;
        }
    }

    /// How many registers' values depend on `h`.
    #[inline]
    pub(crate) fn refs(&self, h: Host) -> u8 {
        self.refs[h.0 as usize & 15]
    }

    /// Host registers that some value depends on.
    #[inline]
    pub(crate) fn used(&self) -> u16 {
        self.used
    }

    /// Says what is known about the upper half of what was just written to `h`.
    #[inline]
    pub(crate) fn wrote(&mut self, h: Host, zero_extended: bool) {
        if zero_extended {
            self.zero_extended |= h.bit();
        } else {
            self.zero_extended &= !h.bit();
        }
    }

    pub(crate) fn is_zero_extended(&self, h: Host) -> bool {
        self.zero_extended & h.bit() != 0
    }

    /// Forgets what is known about upper halves.
    pub(crate) fn forget_extension(&mut self, hosts: u16) {
        self.zero_extended &= !hosts;
    }

    /// Forgets all registers outside `live`.
    #[inline]
    pub(crate) fn keep(&mut self, live: u16) {
        let mut dead = self.alive & !(live | 1 << FP);
        while dead != 0 {
            self.set(dead.trailing_zeros() as u8, Val::Dead);
            dead &= dead - 1;
        }
    }

    /// Rewrites every value that depends on `from` to depend on `to`, its copy.
    pub(crate) fn rename(&mut self, from: Host, to: Host) {
        let mut rest = self.alive;
        while rest != 0 {
            let reg = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            let val = self.val(reg);
            if val.hosts() & from.bit() != 0 {
                self.set(reg, val.renamed(from, to));
            }
        }
        self.wrote(to, self.is_zero_extended(from));
    }

    /// Whether the value's upper half is zero.
    pub(crate) fn is_low(&self, val: Val) -> bool {
        match val {
            Val::Dead => false,
            Val::Reg(h) => self.is_zero_extended(h),
            Val::Const(k) => k <= u64::from(u32::MAX),
            Val::Lea(w, _) => w == W::W32,
            Val::Un(op, w, h, imm) => match op {
                _ if w == W::W32 => true,
                UnOp::Low => true,
                UnOp::Shr => imm >= 32 || self.is_zero_extended(h),
                UnOp::And => imm >= 0 || self.is_zero_extended(h),
                _ => false,
            },
        }
    }
}
