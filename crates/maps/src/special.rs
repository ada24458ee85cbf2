//! Fields of values that commands neither write nor show: spin locks, timers, pointers to objects,
//! lists and trees.
//!
//! As on Linux an update leaves them as they are, a lookup shows zeroes, a new element has zeroes.
//! What an element's fields hold is let go when the element goes, or an array's is updated.

use std::sync::Arc;

use crate::raw::{Slab, View};
use crate::spin::Spin;

/// Called with the address of a value whose fields are to be let go and zeroed.
pub type Letgo = Arc<dyn Fn(u64) + Send + Sync>;

/// The special fields of a map's values.
#[derive(Clone, Default)]
pub struct Special {
    /// Offset of the `bpf_spin_lock`.
    pub lock: Option<u32>,
    /// Offset and bytes of each field, by offset.
    pub fields: Vec<(u32, u32)>,
    /// Lets go what fields hold; none where they hold nothing.
    pub letgo: Option<Letgo>,
}

impl Special {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Takes the lock of the value at `off`, which programs take for a few instructions.
    pub(crate) fn hold<'s>(&self, slab: &'s Slab, off: usize) -> Option<Spin<'s>> {
        Spin::lock(slab.cell32(off + self.lock? as usize), false)
    }

    /// Copies `value` to `off`, all but the fields.
    #[inline]
    pub(crate) fn write(&self, slab: &Slab, off: usize, value: View<'_>) {
        if self.fields.is_empty() {
            return slab.write(off, value);
        }
        let mut at = 0;
        for &(field, size) in &self.fields {
            slab.write(off + at, value.part(at, (field as usize).saturating_sub(at)));
            at = (field + size) as usize;
        }
        slab.write(off + at, value.part(at, value.len().saturating_sub(at)));
    }

    /// Copies the value at `off` out, zeroes in the place of fields.
    pub(crate) fn read(&self, slab: &Slab, off: usize, out: &mut [u8]) {
        slab.read(off, out);
        for &(field, size) in &self.fields {
            if let Some(bytes) = out.get_mut(field as usize..(field + size) as usize) {
                bytes.fill(0);
            }
        }
    }

    /// Zeroes the fields of a new value.
    #[inline]
    pub(crate) fn fresh(&self, slab: &Slab, off: usize) {
        for &(field, size) in &self.fields {
            slab.zero(off + field as usize, size as usize);
        }
    }

    /// Lets go what the fields of the value at `off` hold.
    #[inline]
    pub(crate) fn let_go(&self, slab: &Slab, off: usize) {
        if let Some(letgo) = &self.letgo {
            letgo(slab.addr(off));
        }
    }
}
