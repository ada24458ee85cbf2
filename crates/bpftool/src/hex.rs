//! Bytes in hexadecimal.

use std::fmt::Write;

use btf::print::JsonText;

/// Sixteen bytes a line, a wider gap after eight.
pub(crate) fn dump(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for (at, byte) in bytes.iter().enumerate() {
        out.push_str(match at {
            0 => "",
            at if at % 16 == 0 => "\n",
            at if at % 8 == 0 => "  ",
            _ => " ",
        });
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// An array of quoted bytes.
pub(crate) fn json(bytes: &[u8], out: &mut JsonText) {
    out.begin_array();
    for byte in bytes {
        out.raw(format_args!("\"0x{byte:02x}\""));
    }
    out.end_array();
}
