//! Packets of capture files: [`CaptureReader`] in, [`CaptureWriter`] out.
//!
//! Both stream: neither holds more than one packet and one block of the file.

mod annotated;
mod error;
mod feed;
mod input;
mod link;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod live;
mod pcap;
mod pcapng;
mod reader;
mod writer;
mod xdp;

pub use annotated::{Annotated, AnnotatedWriter, VerdictOf};
pub use error::CaptureError;
pub use feed::feeder;
pub use link::LinkType;
pub use reader::{CaptureReader, Packet, Timestamp};
pub use writer::{CaptureWriter, Precision};
pub use xdp::{RunError, XdpRunner};
