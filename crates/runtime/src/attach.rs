//! Attaching: which program may go where, by Linux's rules of each kind of place.

pub(crate) mod cgroup;
pub(crate) mod kinds;
pub(crate) mod link;
pub(crate) mod list;
pub(crate) mod xdp;

/// Flags of attaching, `BPF_F_*`.
pub(crate) mod flag {
    pub(crate) const ALLOW_OVERRIDE: u32 = 1;
    pub(crate) const ALLOW_MULTI: u32 = 2;
    pub(crate) const REPLACE: u32 = 4;
    pub(crate) const BEFORE: u32 = 8;
    pub(crate) const AFTER: u32 = 16;
    pub(crate) const ID: u32 = 32;
    pub(crate) const PREORDER: u32 = 64;
    pub(crate) const LINK: u32 = 1 << 13;
    /// Of a query.
    pub(crate) const EFFECTIVE: u32 = 1;
}
