//! eBPF in ring 3: load, verify and run BPF programs without root.
#![forbid(unsafe_code)]

mod action;
mod compile;
mod dump;
mod error;
mod host;
mod listing;
pub mod load;
mod machine;
mod object;
mod run;
mod source;
mod verdict;

pub use action::{map_type_name, prog_type_name};
pub use compile::{CompileError, Compiled, compile, is_source};
pub use dump::{Contents, Element, contents};
pub use error::{Error, Rejected};
pub use hooks::packet;
pub use host::{FIRST_HOST_HELPER, HostFn, HostHelper, Register};
pub use listing::{Style, listing};
pub use loader::ProgramSpec;
pub use machine::{Loaded, Machine, Map};
pub use object::{KernelBtf, Object};
pub use run::{PacketRunner, Program, Ran};
pub use runtime::Config;
pub use runtime::door::{TestRun, TestRunOut};
pub use source::{SourceLine, source_line};
pub use verdict::{Verdict, Verifier, map_error};
