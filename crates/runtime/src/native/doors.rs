//! Maps as machine code walks them in place.

use jit::{ArrayMap, HashMap};

use crate::map_obj::MapObj;

pub(crate) fn array(map: &MapObj) -> Option<ArrayMap> {
    let layout = map.map.ops().layout()?;
    Some(ArrayMap {
        values: layout.values,
        stride: u32::try_from(layout.stride).ok().filter(|n| i32::try_from(*n).is_ok())?,
        len: layout.len,
        cpu_stride: u32::try_from(layout.cpu_stride).ok()?,
    })
}

pub(crate) fn hash(map: &MapObj) -> Option<HashMap> {
    let layout = map.map.ops().hash_layout().filter(|l| l.bits > 0)?;
    let small = |n: usize| i32::try_from(n).ok();
    Some(HashMap {
        heads: layout.heads,
        slots: layout.slots,
        slot_size: small(layout.slot_size)?,
        next: small(layout.next)?,
        hash: small(layout.hash)?,
        key: small(layout.key)?,
        value: small(layout.value)?,
        used: layout.used.map(small).map_or(Some(None), |used| used.map(Some))?,
        key_size: layout.key_size as u32,
        multipliers: layout.multipliers,
        bits: layout.bits as u8,
        cpu_stride: small(layout.cpu_stride)?,
    })
}
