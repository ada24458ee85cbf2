//! BPF Type Format: parse, write, print.
//!
//! [`Btf::parse`] keeps the raw bytes and one offset per type; everything else is decoded on
//! access, so the kernel's own BTF (5 MB, 130 000 types) opens in a millisecond. Parsing checks
//! only what is needed to walk the bytes safely; [`Btf::load`] and [`Btf::verify`] apply the
//! kernel's load-time rules, and [`Btf::load_logged`] writes the kernel's log. [`Ext`] reads
//! `.BTF.ext`; [`print`](mod@print) shows values, [`raw`] and [`c`] show types as bpftool does;
//! [`write`](mod@write) builds and edits. This crate does no I/O.
//!
//! ```
//! use btf::{BtfBuilder, Encoding, Kind};
//!
//! let mut build = BtfBuilder::new();
//! let int = build.int("int", 4, Encoding { signed: true, ..Encoding::default() });
//! build.typedef("pid_t", int);
//! let btf = build.build()?;
//! let pid = btf.find_by_name("pid_t", Kind::Typedef).unwrap();
//! assert_eq!(btf.size_of(pid), Ok(4));
//! assert_eq!(btf::print::value(&btf, pid, &[0xff; 4])?, -1);
//! assert_eq!(btf::c::declaration(&btf, pid, "child")?, "pid_t child");
//! # Ok::<(), btf::BtfError>(())
//! ```
#![forbid(unsafe_code)]

mod blob;
pub mod c;
mod error;
mod ext;
pub mod fields;
mod kind;
mod names;
pub mod print;
pub mod raw;
mod resolve;
mod ty;
mod verify;
pub mod write;

pub use blob::Btf;
pub use error::{BtfError, Place};
pub use ext::{CoreKind, CoreRelo, Ext, ExtSection, FuncInfo, LineInfo};
pub use kind::{Kind, Linkage};
pub use names::essential_name;
pub use resolve::{MAX_DEPTH, POINTER_SIZE};
pub use ty::{Array, Encoding, IntInfo, Member, Param, SecInfo, Type, TypeId, Var};
pub use write::{BtfBuilder, NewMember};
