//! A map as an object: id and BTF.

use std::sync::Arc;

use maps::Map;

use crate::btf_obj::BtfObj;

/// A map object.
pub(crate) struct MapObj {
    pub(crate) id: u32,
    pub(crate) map: Map,
    pub(crate) btf: Option<Arc<BtfObj>>,
}

impl MapObj {
    /// What programs hold for it.
    pub(crate) fn handle(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    pub(crate) fn key_size(&self) -> usize {
        self.map.def().key_size as usize
    }

    pub(crate) fn value_size(&self) -> usize {
        self.map.def().value_size as usize
    }
}
