//! The bpf(2) ABI: Linux's own bpf(2) as a [`runtime::door::Bpf`].
//!
//! [`Linux`] turns the door's typed commands into `union bpf_attr` bytes and back. Whether this
//! process may call bpf(2) at all is for [`Linux::probe`] to say. `unsafe` is in `sys/` only.

mod attach;
mod fdinfo;
mod holders;
mod link;
mod linux;
mod outside;
mod sys;

pub use linux::Linux;
