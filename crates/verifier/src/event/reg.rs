//! Registers.

use super::reasons;
use super::value::Reg;

reasons! {
    /// Registers.
    BadReg {
        /// No such register.
        Number { reg: Reg } => "R{reg} is invalid",
        /// The register was never set.
        NotReadable { reg: Reg } => "R{reg} !read_ok",
        /// R10 is written.
        FramePointer => "frame pointer is read only",
        /// A pointer would be stored where others read it.
        LeaksInto { reg: Reg, into: &'static str } => "R{reg} leaks addr into {into}",
    }
}
