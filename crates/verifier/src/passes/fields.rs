//! Special fields of each map's values, and in which BTF their types are.

use std::sync::Arc;

use btf::fields::{Record, map_value};
use btf::{Btf, TypeId};
use uapi::MapDef;

use crate::input::{MapInfo, Program, World};

/// The kernel's BTF, as [`crate::state::RegState::data2`] names it.
pub(crate) const KERNEL_BTF: u32 = 0;
/// The program's own.
pub(crate) const PROG_BTF: u32 = 1;

/// The special fields of a map's values.
#[derive(Clone, Debug, Default)]
pub(crate) struct ValueFields {
    pub(crate) record: Record,
    /// The BTF of their types: see [`btf_numbered`].
    #[allow(dead_code, reason = "for pointers that values hold")]
    pub(crate) btf: u32,
}

/// Those of a map, and those of the maps that are its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapFields {
    pub(crate) own: ValueFields,
    pub(crate) inner: ValueFields,
}

/// A BTF by number: the kernel's, the program's, then two a map (its own, that of its inner maps).
pub(crate) fn btf_numbered<'a>(
    number: u32,
    prog: &'a Program,
    world: &'a World,
) -> Option<&'a Arc<Btf>> {
    match number {
        KERNEL_BTF => world.kernel_btf.as_ref(),
        PROG_BTF => prog.btf.as_ref(),
        _ => {
            let map = world.maps.get((number as usize - 2) / 2)?;
            if number.is_multiple_of(2) { map.btf.as_ref() } else { map.inner_btf.as_ref() }
        }
    }
}

/// Each map's, in the order of `World::maps`.
pub(super) fn of_maps(prog: &Program, world: &World) -> Vec<MapFields> {
    let kernel = world.kernel_btf.as_deref();
    let fields = |(n, map): (usize, &MapInfo)| {
        let record = |btf: &Option<Arc<Btf>>, def: &MapDef| match (btf, def.btf_value_type_id) {
            (None, _) | (_, 0) => Record::default(),
            // Where the record is in error Linux has none either.
            (Some(btf), id) => {
                map_value(btf, TypeId(id), def.value_size, kernel).unwrap_or_default()
            }
        };
        let value = |btf: &Option<Arc<Btf>>, def, own: u32| ValueFields {
            record: record(btf, def),
            btf: number_of(btf, own, prog, world),
        };
        let own = 2 + 2 * n as u32;
        let inner = map.def.inner.as_deref();
        MapFields {
            own: value(&map.btf, &map.def, own),
            inner: inner.map_or_else(Default::default, |d| value(&map.inner_btf, d, own + 1)),
        }
    };
    world.maps.iter().enumerate().map(fields).collect()
}

/// The lowest number of this BTF: pointers to one type of one BTF have one number.
fn number_of(btf: &Option<Arc<Btf>>, own: u32, prog: &Program, world: &World) -> u32 {
    let same = |number: &u32| {
        let other = btf_numbered(*number, prog, world);
        other.zip(btf.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    };
    if btf.is_none() { own } else { (PROG_BTF..own).find(same).unwrap_or(own) }
}
