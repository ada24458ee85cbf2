//! One row of a context table.

/// How a field of the UAPI maps to a field of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number as wide as Linux keeps it, which may be less than the UAPI shows: stores are cut,
    /// and a load of that width or more gives the number wherever in the field it starts.
    Number,
    /// The same bytes.
    Bytes,
    /// 32 bits that stand for an address of 64.
    Pointer,
    /// A number, but values from 0xffff on are not stored (Linux's NO_QUEUE_MAPPING).
    Below0xffff,
}

/// A field of a context in the UAPI, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Byte offset in the UAPI's structure.
    pub(crate) off: u16,
    /// Bytes there.
    pub(crate) size: u16,
    /// Byte offset in ours.
    pub(crate) target: u16,
    /// Bytes that count there.
    pub(crate) width: u16,
    pub(crate) kind: Kind,
}

impl Field {
    /// Whether `size` bytes at `off` of the UAPI's structure lie in this field.
    pub(crate) fn covers(&self, off: i32, size: u32) -> bool {
        let (start, end) = (i64::from(self.off), i64::from(self.off) + i64::from(self.size));
        start <= i64::from(off) && i64::from(off) + i64::from(size) <= end
    }
}
