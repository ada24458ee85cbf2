//! Events of a command and of everything that it starts: system calls, forks, execs, exits.
//!
//! [`Tracer::run`] starts the command under a seccomp filter that stops only the calls that some
//! program asks for, follows all its processes and threads with ptrace, and runs the programs
//! while the thread is stopped. Nothing is seen or touched that it did not start.

mod addresses;
mod command;
mod context;
mod control;
mod error;
mod fast;
mod filter;
mod here;
mod kernel;
mod notifier;
mod point;
mod sampler;
mod section;
mod session;
mod sys;
pub mod syscalls;
mod table;
mod thread;
mod ticker;
mod tracer;
mod types;
mod uprobe;

pub use command::Command;
pub use control::Control;
pub use error::HookError;
pub use notifier::MakeRunner;
pub use point::{Form, Function, Place, Point, Site, Usdt, When};
pub use tracer::{Attach, Ended, Tracer, Watcher};
pub use uprobe::UsdtProbe;
