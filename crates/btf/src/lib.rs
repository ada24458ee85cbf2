//! BPF Type Format: parse, write, print.
//!
//! [`Btf::parse`] keeps the raw bytes and one offset per type; everything else is decoded on
//! access, so the kernel's own BTF (5 MB, 150 000 types) opens in milliseconds. Parsing checks only
//! what is needed to walk the bytes safely; [`Btf::verify`] applies the kernel's load-time rules.
//! [`Ext`] reads `.BTF.ext`. This crate does no I/O.
#![forbid(unsafe_code)]

mod blob;
pub mod c;
mod error;
mod ext;
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
pub use write::BtfBuilder;
