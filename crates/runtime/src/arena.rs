//! Where a program's arena is, for the engines.

use interp::ArenaWindow;
use uapi::map_flags;

use crate::map_obj::MapObj;

/// The arena among a program's maps: the verifier lets it have one.
pub(crate) fn window<'m>(maps: impl IntoIterator<Item = &'m MapObj>) -> Option<ArenaWindow> {
    let map = maps.into_iter().find(|map| map.map.ops().arena().is_some())?;
    let arena = map.map.ops().arena()?;
    let casts = map.map.def().flags & map_flags::NO_USER_CONV == 0;
    let user_high = if casts { (arena.start() >> 32) as u32 } else { 0 };
    Some(ArenaWindow { base: arena.window(), user_high })
}
