//! Host registers and the operands made of them.

/// A general-purpose register by its hardware number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Host(pub(crate) u8);

impl Host {
    pub(crate) const RAX: Host = Host(0);
    pub(crate) const RCX: Host = Host(1);
    pub(crate) const RDX: Host = Host(2);
    pub(crate) const RBX: Host = Host(3);
    pub(crate) const RSP: Host = Host(4);
    pub(crate) const RBP: Host = Host(5);
    pub(crate) const RSI: Host = Host(6);
    pub(crate) const RDI: Host = Host(7);
    pub(crate) const R8: Host = Host(8);
    pub(crate) const R9: Host = Host(9);
    pub(crate) const R10: Host = Host(10);
    /// Never holds a value from one bytecode instruction to the next.
    pub(crate) const R11: Host = Host(11);
    pub(crate) const R12: Host = Host(12);
    pub(crate) const R13: Host = Host(13);
    pub(crate) const R14: Host = Host(14);
    pub(crate) const R15: Host = Host(15);

    /// Bit of this register in a set.
    pub(crate) const fn bit(self) -> u16 {
        1 << self.0
    }
}

/// Registers that a function of the System V ABI preserves, cheapest encodings first.
pub(crate) const CALLEE_SAVED: [Host; 6] =
    [Host::RBX, Host::RBP, Host::R14, Host::R15, Host::R13, Host::R12];

/// The set of [`CALLEE_SAVED`].
pub(crate) const CALLEE_SAVED_SET: u16 = Host::RBX.bit()
    | Host::RBP.bit()
    | Host::R12.bit()
    | Host::R13.bit()
    | Host::R14.bit()
    | Host::R15.bit();

/// Whether all 64 bits matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum W {
    W32,
    W64,
}

impl W {
    pub(crate) const fn bits(self) -> u32 {
        match self {
            W::W32 => 32,
            W::W64 => 64,
        }
    }

    /// `value` as an operation of this width leaves it in a register.
    pub(crate) const fn cut(self, value: u64) -> u64 {
        match self {
            W::W32 => value as u32 as u64,
            W::W64 => value,
        }
    }
}

/// `base + index * 2^scale + disp`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mem {
    pub(crate) base: Option<Host>,
    /// Never RSP.
    pub(crate) index: Option<Host>,
    pub(crate) scale: u8,
    pub(crate) disp: i32,
}

impl Mem {
    pub(crate) const fn at(base: Host, disp: i32) -> Mem {
        Mem { base: Some(base), index: None, scale: 0, disp }
    }

    /// The registers of the address.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = Host> {
        self.base.into_iter().chain(self.index)
    }
}
