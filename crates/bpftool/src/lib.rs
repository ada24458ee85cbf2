//! bpftool's command line on any of ring3's doors.
//!
//! `table` lists objects and commands, `words` reads what was typed, `select` finds its row, a module for each object
//! turns it into a request to the door and gives back data, [`print`] shows them as text or JSON in
//! bpftool's layout. [`Session`] keeps one door for several commands; [`main`] is the command.
//! Nothing here writes to a terminal but [`main`].
#![forbid(unsafe_code)]

mod answer;
mod batch;
mod btf_cmd;
mod cgroup;
mod elf;
mod fail;
mod feature;
mod gen_cmd;
mod handle;
mod help;
mod hex;
mod interrupt;
mod iter;
mod link;
mod list;
mod map;
mod net;
mod options;
mod pins;
mod print;
mod prog;
mod proto;
mod refs;
mod select;
mod session;
mod struct_ops;
mod symbols;
mod table;
mod time;
mod version;
mod words;

pub use help::usage;
pub use options::Target;
pub use runtime::door::Bpf;
pub use select::{OTHERS, is_object, is_whole_object};
pub use session::{Opener, Output, Session, open};
pub use table::{NOUNS, Noun, Verb};

use std::ffi::OsString;
use std::io::Write;

/// Runs what `args` ask for, program's name first, on `target` unless they say otherwise; the exit
/// status.
pub fn main(args: Vec<OsString>, target: Target, opener: Opener) -> u8 {
    let mut session = Session::new(target, opener);
    session.set_input(std::io::stdin());
    session.set_live(std::io::stdout());
    let output = session.run(args);
    // A reader that went away is no error of ours.
    let _ = std::io::stderr().write_all(output.stderr.as_bytes());
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(&output.stdout);
    let _ = stdout.flush();
    output.status
}
