//! Why slots are no instruction, or an operation has no encoding.

use thiserror::Error;

use crate::Reg;

/// The group of opcodes by which Linux names a reserved field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "named as Linux's message names them")]
pub enum Family {
    Alu,
    Neg,
    End,
    Mov,
    Jmp,
    Ja,
    MayGoto,
    Call,
    Exit,
    Ldx,
    Stx,
    St,
    Atomic,
    LdAbs,
    LdImm64,
}

impl Family {
    /// The name in Linux's "… uses reserved fields".
    pub const fn kernel_name(self) -> &'static str {
        match self {
            Family::Alu => "BPF_ALU",
            Family::Neg => "BPF_NEG",
            Family::End => "BPF_END",
            Family::Mov => "BPF_MOV",
            Family::Jmp => "BPF_JMP/JMP32",
            Family::Ja => "BPF_JA",
            Family::MayGoto => "BPF_JCOND",
            Family::Call => "BPF_CALL",
            Family::Exit => "BPF_EXIT",
            Family::Ldx => "BPF_LDX",
            Family::Stx => "BPF_STX",
            Family::St => "BPF_ST",
            Family::Atomic => "BPF_ATOMIC",
            Family::LdAbs => "BPF_LD_[ABS|IND]",
            Family::LdImm64 => "BPF_LD_IMM64",
        }
    }
}

/// Why the slots at `pc` are no instruction. The text after the position is Linux's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum DecodeError {
    /// `pc` is past the last slot.
    #[error("insn {pc}: past the end of the program")]
    OutOfRange {
        /// Slot asked for.
        pc: usize,
    },
    /// No instruction has this opcode.
    #[error("insn {pc}: unknown opcode {code:02x}")]
    UnknownOpcode {
        /// Slot.
        pc: usize,
        /// The opcode byte.
        code: u8,
    },
    /// A field that must be zero is not, or has an undefined value.
    #[error("insn {pc}: {} uses reserved fields", family.kernel_name())]
    ReservedField {
        /// Slot.
        pc: usize,
        /// Group of the opcode.
        family: Family,
    },
    /// A register field above 10.
    #[error("insn {pc}: R{} is invalid", reg.0)]
    BadRegister {
        /// Slot.
        pc: usize,
        /// The number found.
        reg: Reg,
    },
    /// The second slot of a 64-bit immediate is missing.
    #[error("insn {pc}: invalid bpf_ld_imm64 insn")]
    TruncatedImm64 {
        /// Slot.
        pc: usize,
    },
    /// The second slot of a 64-bit immediate holds more than its immediate.
    #[error("insn {pc}: invalid bpf_ld_imm64 insn")]
    BadImm64 {
        /// Slot of the first half.
        pc: usize,
    },
    /// `src` of a 64-bit immediate names no kind, or the kind leaves no room for a high half.
    #[error("insn {pc}: unrecognized bpf_ld_imm64 insn")]
    BadImm64Kind {
        /// Slot.
        pc: usize,
        /// The kind found.
        kind: u8,
    },
    /// No atomic operation has this immediate.
    #[error("insn {pc}: BPF_ATOMIC uses invalid atomic opcode {imm:02x}")]
    BadAtomic {
        /// Slot.
        pc: usize,
        /// The immediate found.
        imm: i32,
    },
    /// A read-modify-write of one or two bytes.
    #[error("insn {pc}: invalid atomic operand size")]
    BadAtomicSize {
        /// Slot.
        pc: usize,
    },
    /// A `may_goto` with a register or immediate.
    #[error("insn {pc}: invalid may_goto imm {imm}")]
    BadMayGoto {
        /// Slot.
        pc: usize,
        /// The immediate found.
        imm: i32,
    },
    /// An address space cast between other spaces than 0 and 1.
    #[error("insn {pc}: addr_space_cast insn can only convert between address space 1 and 0")]
    BadAddrSpaceCast {
        /// Slot.
        pc: usize,
        /// The immediate found.
        imm: i32,
    },
}

impl DecodeError {
    /// The slot at fault.
    pub const fn pc(&self) -> usize {
        match *self {
            DecodeError::OutOfRange { pc }
            | DecodeError::UnknownOpcode { pc, .. }
            | DecodeError::ReservedField { pc, .. }
            | DecodeError::BadRegister { pc, .. }
            | DecodeError::TruncatedImm64 { pc }
            | DecodeError::BadImm64 { pc }
            | DecodeError::BadImm64Kind { pc, .. }
            | DecodeError::BadAtomic { pc, .. }
            | DecodeError::BadAtomicSize { pc }
            | DecodeError::BadMayGoto { pc, .. }
            | DecodeError::BadAddrSpaceCast { pc, .. } => pc,
        }
    }

    /// Linux's message, without the position.
    pub fn kernel_message(&self) -> String {
        let text = self.to_string();
        text.split_once(": ").map_or(text.clone(), |(_, message)| message.to_owned())
    }
}

/// Why an operation has no encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum EncodeError {
    /// A register above 10.
    #[error("{reg} is no register")]
    BadRegister {
        /// The register.
        reg: Reg,
    },
    /// No opcode does this: an 8-byte sign-extending load, a 16-bit atomic addition, …
    #[error("no instruction for this operation at this width")]
    NoOpcode,
    /// A bit count that the operation lacks.
    #[error("no {bits}-bit form of this operation")]
    BadBits {
        /// The bit count.
        bits: u8,
    },
    /// A short jump further than 16 bits reach.
    #[error("offset {off} does not fit 16 bits")]
    OffsetRange {
        /// Slots.
        off: i32,
    },
    /// An address space cast between other spaces than 0 and 1.
    #[error("addr_space_cast converts between address spaces 0 and 1 only")]
    BadAddrSpaceCast {
        /// `dst_as << 16 | src_as`.
        imm: i32,
    },
}
