//! A bound on memory by the size of the input.

use crate::error::LoadError;

/// Copies of the input's bytes that an object may ask for: symbols and sections can overlap.
const COPIES: u64 = 16;

/// Bytes that may still be copied out of the object.
pub(crate) struct Budget {
    left: u64,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(input: u64) -> Budget {
        let limit = input.saturating_mul(COPIES);
        Budget { left: limit, limit }
    }

    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), LoadError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| LoadError::Limit {
            what: "bytes of code and data in overlapping symbols or sections".into(),
            limit: self.limit,
        })?;
        Ok(())
    }
}
