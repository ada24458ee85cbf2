//! Why a program cannot be translated.

use isa::DecodeError;

/// A program that the facts do not fit, or that grew out of its own jumps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// Not an instruction.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The context has no field there.
    #[error("instruction {insn}: no context field of {size} bytes at offset {off}")]
    Context {
        /// Slot.
        insn: usize,
        /// Byte offset into the context.
        off: i32,
        /// Bytes.
        size: u32,
    },
    /// No address is known for a map.
    #[error("instruction {insn}: no map with descriptor {fd}")]
    Map {
        /// Slot.
        insn: usize,
        /// The descriptor.
        fd: i32,
    },
    /// An index beyond `fd_array`.
    #[error("instruction {insn}: fd_array has no entry {idx}")]
    FdArray {
        /// Slot.
        insn: usize,
        /// The index.
        idx: i32,
    },
    /// No address is known for a kernel variable.
    #[error("instruction {insn}: no variable with BTF id {id}")]
    Variable {
        /// Slot.
        insn: usize,
        /// BTF type id.
        id: i32,
    },
    /// A jump or call that leads out of the program or into dead code at its end.
    #[error("instruction {insn}: target {target} is not in the program")]
    Target {
        /// Slot.
        insn: usize,
        /// Slot it leads to.
        target: i64,
    },
    /// After expansion a jump spans more than its field holds.
    #[error("instruction {insn}: the jump became too long")]
    JumpTooLong {
        /// Slot.
        insn: usize,
    },
    /// Packet loads need a socket buffer as context.
    #[error("instruction {insn}: packet load in a program without a socket buffer")]
    PacketLoad {
        /// Slot.
        insn: usize,
    },
    /// More instructions than the translated form numbers.
    #[error("the program is too large")]
    TooLarge,
}
