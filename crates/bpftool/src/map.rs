//! `map …`.

mod contents;
mod create;
mod dump;
mod element;
mod entry;
mod show;

pub(crate) use create::create;
pub(crate) use dump::dump;
pub(crate) use element::{delete, getnext, lookup, take, update};
pub(crate) use show::show;

use runtime::door::Fd;
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

/// `map event_pipe MAP …`.
pub(crate) fn event_pipe(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let (fd, info) = handle::map_and_info(ctx, &mut words)?;
    if info.def.map_type != MapType::PerfEventArray {
        return Err(Fail::new("map is not a perf event array"));
    }
    while !words.is_empty() {
        if !words.eat("cpu") && !words.eat("index") {
            return Err(words.bad());
        }
        words.need(1)?;
        let word = words.take()?;
        if crate::words::number(word, 0).is_none() {
            return Err(Fail::new(format!("can't parse {word} as CPU ID")));
        }
    }
    events(ctx, fd)
}

/// What programs have sent so far.
fn events(ctx: &Ctx<'_>, fd: Fd) -> Done {
    let records = ctx.door()?.take_perf_records(fd);
    let records = records.map_err(|errno| Fail::of("failed to create perf event", errno))?;
    Ok(Answer::data(entry::Events { records }))
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
