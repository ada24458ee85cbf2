//! eBPF in ring 3: load, verify and run BPF programs without root.
//!
//! [`Object`] is an ELF object, or C source that clang compiles to one. A [`Machine`] loads it:
//! it makes the maps, verifies the programs as Linux does and gives back [`Loaded`], whose
//! programs run on bytes and whose maps can be read and written.
//!
//! ```no_run
//! # fn main() -> Result<(), ring3::Error> {
//! let object = ring3::Object::open("examples/hello.bpf.c")?;
//! let machine = ring3::Machine::new();
//! let loaded = machine.load(&object)?;
//! let ran = loaded.program("hello")?.run(&[0; 64])?;
//! assert_eq!(ran.retval, 2);
//! print!("{}", machine.take_trace());
//! println!("{}", loaded.map("hello.bss")?.to_json()?);
//! # Ok(())
//! # }
//! ```
//!
//! Programs may call Rust functions that the embedder registers; the verifier checks those calls
//! too. Here in instructions, `static long (*host_add)(long, long) = (void *)4096;` in C:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut machine = ring3::Machine::new();
//! let number = machine.register("host_add", |a: u64, b: u64| a + b);
//! assert_eq!(number, ring3::FIRST_HOST_HELPER);
//! let program = "r1 = 40\nr2 = 2\ncall 4096\nexit";
//! let loaded = machine.load(&ring3::Object::assemble("sum", "xdp", program)?)?;
//! assert_eq!(loaded.program("sum")?.run(&[0; 64])?.retval, 42);
//!
//! let careless = ring3::Object::assemble("sum", "xdp", "r1 = 40\ncall 4096\nexit")?;
//! let error = machine.load(&careless).err().expect("r2 is not set");
//! assert!(error.to_string().contains("R2 !read_ok"));
//! # Ok(())
//! # }
//! ```
//!
//! [`live`] attaches programs to a command that it runs, [`net`] to the packets of its network.
//!
//! [`Verifier`] gives verdicts without loading anything, [`listing`] shows instructions with their
//! source, [`packet`] reads and writes captures.
#![forbid(unsafe_code)]

mod action;
mod compile;
pub mod context;
mod dump;
mod error;
mod explain;
mod host;
mod kconfig;
mod kernel;
mod listing;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod live;
pub mod load;
mod machine;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod net;
mod object;
mod old_kernel;
mod run;
mod source;
mod surroundings;
mod verdict;

pub use action::{map_type_name, prog_type_name};
pub use compile::{CompileError, Compiled, compile, is_source};
pub use dump::{Contents, Element, contents};
pub use error::{Error, Rejected};
pub use explain::source_text;
pub use hooks::packet;
pub use host::{FIRST_HOST_HELPER, HostFn, HostHelper, Register};
pub use kernel::Kernel;
pub use listing::{Style, listing};
pub use loader::ProgramSpec;
pub use machine::{Loaded, Machine, Map};
pub use object::Object;
pub use run::{PacketRunner, Program, Ran, RanOn};
pub use runtime::door::{TestRun, TestRunOut};
pub use runtime::{Config, Engine};
pub use source::{SourceLine, source_line};
pub use surroundings::Surroundings;
pub use verdict::{Verdict, Verifier, map_error};
pub use verifier::{
    Event, EventKind, Explanation, Fact, Origin, Place, Range as ValueRange, Source,
};
