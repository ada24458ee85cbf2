//! Where the fields of `union bpf_attr` and of the info structs stand: one table for both
//! directions of the ABI.

mod generated;

pub use generated::*;

/// A field of a UAPI struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Byte offset in its struct.
    pub offset: usize,
    /// Bytes it takes.
    pub size: usize,
}

impl Field {
    /// The number in `bytes`; a field beyond the end reads zero, as Linux pads short structs.
    pub fn get(self, bytes: &[u8]) -> u64 {
        let mut le = [0; 8];
        let have = bytes.get(self.offset..).unwrap_or_default();
        let n = self.size.min(8).min(have.len());
        le[..n].copy_from_slice(&have[..n]);
        u64::from_le_bytes(le)
    }

    /// Writes `value`, cut to the field; what lies beyond the end is left out.
    pub fn set(self, bytes: &mut [u8], value: u64) {
        self.set_bytes(bytes, &value.to_le_bytes()[..self.size.min(8)]);
    }

    /// Writes a name or another byte array, zero-padded to the field.
    pub fn set_bytes(self, bytes: &mut [u8], value: &[u8]) {
        let Some(field) = bytes.get_mut(self.offset..) else { return };
        let n = field.len().min(self.size);
        field[..n].fill(0);
        let n = n.min(value.len());
        field[..n].copy_from_slice(&value[..n]);
    }
}
