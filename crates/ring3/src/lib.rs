//! eBPF in ring 3: load, verify and run BPF programs without root.
#![forbid(unsafe_code)]

mod compile;
mod dump;
mod error;
mod listing;
pub mod load;
mod object;
mod source;
mod verdict;

pub use compile::{CompileError, Compiled, compile, is_source};
pub use dump::{Contents, Element, contents};
pub use error::{Error, Rejected};
pub use hooks::packet;
pub use listing::{Style, listing};
pub use object::{KernelBtf, Object};
pub use source::{SourceLine, source_line};
pub use verdict::{Verdict, Verifier, map_error};
