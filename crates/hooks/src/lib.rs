//! Events that programs run on.
//!
//! [`packet`] reads and writes captures. What a program does with a packet is `runtime`'s affair;
//! this crate only brings the events to it and takes the results away.
#![forbid(unsafe_code)]

pub mod packet;
