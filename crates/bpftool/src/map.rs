//! `map …`.

mod contents;
mod create;
mod dump;
mod element;
mod entry;
mod events;
mod show;

pub(crate) use create::create;
pub(crate) use dump::dump;
pub(crate) use element::{delete, getnext, lookup, take, update};
pub(crate) use events::event_pipe;
pub(crate) use show::show;

use uapi::MapType;

use crate::answer::{Answer, Done};
use crate::fail::Fail;
use crate::session::Ctx;
use crate::words::Words;
use crate::{handle, pins, select};

/// `map pin MAP PATH`.
pub(crate) fn pin(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    pins::pin_named(ctx, &mut words, handle::map)?;
    Ok(Answer::null())
}

/// `map freeze MAP`.
pub(crate) fn freeze(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(2)?;
    let fd = handle::map(ctx, &mut words)?;
    words.end()?;
    let frozen = ctx.door()?.map_freeze(fd);
    frozen.map_err(|errno| Fail::errno("failed to freeze map", errno))?;
    Ok(Answer::null())
}

/// Help instead of what was asked.
pub(crate) fn wrong_use() -> Fail {
    select::wrong_use("map")
}

/// Whether elements are maps.
pub(crate) fn holds_maps(map_type: MapType) -> bool {
    matches!(map_type, MapType::ArrayOfMaps | MapType::HashOfMaps)
}

/// Whether each CPU has its own value.
pub(crate) fn is_per_cpu(map_type: MapType) -> bool {
    use MapType as T;
    matches!(map_type, T::PercpuHash | T::PercpuArray | T::LruPercpuHash | T::PercpuCgroupStorage)
}
