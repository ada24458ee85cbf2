//! What can be wrong with a capture.

use std::io;

use thiserror::Error;

/// Why a capture cannot be read further, or written.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file cannot be opened or made.
    #[error("{file}: {source}")]
    Open {
        /// The capture.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The file system failed in the middle of the file.
    #[error("{file}: reading at byte {offset}: {source}")]
    Read {
        /// The capture.
        file: String,
        /// Where in the file.
        offset: u64,
        /// The system's answer.
        source: io::Error,
    },
    /// The file system failed while writing.
    #[error("{file}: writing: {source}")]
    Write {
        /// The capture.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Neither pcap nor pcapng.
    #[error("{file}: not a capture: {what} (pcap and pcapng are read)")]
    NotACapture {
        /// The file.
        file: String,
        /// What it seems to be.
        what: &'static str,
    },
    /// The file ends inside a header, a block or a packet.
    #[error(
        "{file}: cut short at byte {offset}, after {packets} packets: {what} needs {needed} bytes, {left} are left"
    )]
    Truncated {
        /// The capture.
        file: String,
        /// Where the part begins that is cut.
        offset: u64,
        /// Packets delivered before.
        packets: u64,
        /// The part that is cut.
        what: &'static str,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        left: u64,
    },
    /// A field that no capture can have.
    #[error("{file}: damaged at byte {offset}, after {packets} packets: {what}")]
    Damaged {
        /// The capture.
        file: String,
        /// Where the damaged part begins.
        offset: u64,
        /// Packets delivered before.
        packets: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A time stamp that the output's format cannot hold.
    #[error("{file}: packet {packet}: pcap cannot hold a time {secs} s after 1970")]
    Time {
        /// The output.
        file: String,
        /// Packets written before.
        packet: u64,
        /// The time, whole seconds.
        secs: u64,
    },
}
