//! Loaded BTF.

use std::sync::Arc;

use btf::Btf;

/// A BTF object.
pub(crate) struct BtfObj {
    pub(crate) id: u32,
    pub(crate) btf: Arc<Btf>,
    pub(crate) data: Arc<[u8]>,
}
