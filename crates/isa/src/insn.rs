//! One instruction slot as bytes.

use std::fmt;

/// A register number as encoded, 0 to 15; only 0 to 10 name registers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Reg(pub u8);

impl Reg {
    /// Return value of calls and programs.
    pub const R0: Reg = Reg(0);
    /// First argument; the context on entry.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// First register that calls preserve.
    pub const R6: Reg = Reg(6);
    /// The frame pointer, read only.
    pub const R10: Reg = Reg(10);

    /// The number as an array index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether the number names one of r0 to r10.
    pub const fn is_valid(self) -> bool {
        self.0 <= 10
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// One 8-byte slot, little-endian on disk (RFC 9669 section 3). A 64-bit immediate takes two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct Insn {
    /// Opcode byte: class, and the class's own fields.
    pub code: u8,
    /// `dst` in the low nibble, `src` in the high one.
    pub regs: u8,
    /// Signed offset: of a jump, of a memory access, or an opcode extension.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

impl Insn {
    /// Bytes a slot takes.
    pub const SIZE: usize = 8;

    /// A slot from its fields; register numbers are cut to four bits.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, regs: (dst & 15) | (src << 4), off, imm }
    }

    /// Destination register field.
    pub const fn dst(self) -> Reg {
        Reg(self.regs & 15)
    }

    /// Source register field.
    pub const fn src(self) -> Reg {
        Reg(self.regs >> 4)
    }

    /// The class: the three low bits of the opcode.
    pub const fn class(self) -> u8 {
        self.code & 7
    }

    /// Whether this is the first slot of a 64-bit immediate load.
    pub const fn is_ld_imm64(self) -> bool {
        self.code == 0x18
    }

    /// A slot from its eight little-endian bytes.
    pub const fn from_bytes(b: [u8; 8]) -> Insn {
        Insn {
            code: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The eight little-endian bytes of this slot.
    pub const fn to_bytes(self) -> [u8; 8] {
        let (o, i) = (self.off.to_le_bytes(), self.imm.to_le_bytes());
        [self.code, self.regs, o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    /// All slots of `bytes`; `None` if the length is not a multiple of eight.
    pub fn slots(bytes: &[u8]) -> Option<Vec<Insn>> {
        let (slots, rest) = bytes.as_chunks::<8>();
        rest.is_empty().then(|| slots.iter().map(|b| Insn::from_bytes(*b)).collect())
    }
}
