//! Kernel pointers in map values and allocated objects.

use super::reasons;
use super::value::{Reg, RegType};

reasons! {
    /// Kernel pointers in map values and allocated objects.
    BadKptr {
        /// The pointer is none that may be kept there.
        Type { reg: Reg, is: RegType, name: Box<str>, expected: Box<str>, or: Box<str> } => "invalid kptr access, R{reg} type={is}{name} expected=ptr_{expected}{or}",
        /// Only plain loads and stores.
        Mode => "kptr in map can only be accessed using BPF_MEM instruction mode",
        /// The pointer owns what it points to.
        StoreReferenced => "store to referenced kptr disallowed",
        /// The pointer is user space's.
        StoreUptr => "store to uptr disallowed",
        /// A number that is no null pointer.
        StoreNumber { off: u32 } => "BPF_ST imm must be 0 when storing to kptr at off={off}",
        /// Between the pointers.
        NotAtKptr { off: u32 } => "off={off} doesn't point to kptr",
        /// The pointer owns nothing that could be exchanged.
        NotReferenced { off: u32 } => "off={off} kptr isn't referenced kptr",
    }
}
