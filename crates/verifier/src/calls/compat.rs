//! Which helpers take which maps, both ways.

use uapi::{AttachType, MapType, ProgType};

use super::helper::{Meta, name};
use crate::env::Env;
use crate::error::{Checked, reject};
use crate::event::{BadArg, Note};
use crate::log::say;

const UPDATE: u32 = 2;
const DELETE: u32 = 3;

/// Helpers that a map of this type may be given to; `None`: any that asks for no other type.
fn helpers_of(map: MapType) -> Option<&'static [u32]> {
    use MapType as M;
    Some(match map {
        M::ProgArray => &[12],
        M::PerfEventArray => &[22, 25, 111, 55, 121],
        M::Ringbuf => &[130, 131, 134, 198, 199, 200],
        M::UserRingbuf => &[209],
        M::StackTrace => &[27],
        M::CgroupArray => &[33, 37],
        M::CgroupStorage | M::PercpuCgroupStorage => &[81],
        M::Devmap | M::DevmapHash | M::Xskmap => &[51, 1],
        M::Cpumap => &[51],
        M::ArrayOfMaps | M::HashOfMaps => &[1],
        M::Sockmap => &[52, 53, 60, 82, 1],
        M::Sockhash => &[72, 70, 71, 82, 1],
        M::ReuseportSockarray => &[82],
        M::Queue | M::Stack => &[87, 88, 89],
        M::SkStorage => &[107, 108, 194],
        M::InodeStorage => &[145, 146, 194],
        M::TaskStorage => &[156, 157, 194],
        M::CgrpStorage => &[210, 211, 194],
        M::BloomFilter => &[87, 89],
        _ => return None,
    })
}

/// Map types that this helper takes; `None`: any that allows it.
fn maps_of(helper: u32) -> Option<&'static [MapType]> {
    use MapType as M;
    Some(match helper {
        12 => &[M::ProgArray],
        22 | 25 | 55 | 111 | 121 => &[M::PerfEventArray],
        130 | 131 | 134 | 198..=200 => &[M::Ringbuf],
        209 => &[M::UserRingbuf],
        27 => &[M::StackTrace],
        33 | 37 => &[M::CgroupArray],
        51 => &[M::Devmap, M::DevmapHash, M::Cpumap, M::Xskmap],
        52 | 53 | 60 => &[M::Sockmap],
        70..=72 => &[M::Sockhash],
        81 => &[M::CgroupStorage, M::PercpuCgroupStorage],
        82 => &[M::ReuseportSockarray, M::Sockmap, M::Sockhash],
        88 => &[M::Queue, M::Stack],
        87 | 89 => &[M::Queue, M::Stack, M::BloomFilter],
        195 => &[M::PercpuArray, M::PercpuHash, M::LruPercpuHash],
        107 | 108 => &[M::SkStorage],
        145 | 146 => &[M::InodeStorage],
        156 | 157 => &[M::TaskStorage],
        210 | 211 => &[M::CgrpStorage],
        _ => return None,
    })
}

/// The map against the helper.
pub(super) fn check(env: &mut Env<'_>, meta: &Meta) -> Checked {
    let Some(map) = meta.map else { return Ok(()) };
    let map_type = env.map_def(&map).map_type;
    let from_map = match helpers_of(map_type) {
        Some(list) if list.contains(&meta.id) => true,
        Some(_) if matches!(map_type, MapType::Sockmap | MapType::Sockhash) => {
            may_update_sockets(env, meta.id)
        }
        Some(_) => false,
        None => true,
    };
    if from_map && maps_of(meta.id).is_none_or(|list| list.contains(&map_type)) {
        return Ok(());
    }
    let id = meta.id as i32;
    reject!(EINVAL, BadArg::MapType { map_type: map_type.raw(), helper: name(env, id).into(), id })
}

/// Programs that can hold no locked socket may change socket maps.
fn may_update_sockets(env: &mut Env<'_>, helper: u32) -> bool {
    use ProgType as P;
    if helper != UPDATE && helper != DELETE {
        return false;
    }
    let allowed = match env.prog_type {
        Some(P::Tracing) => env.attach_type == AttachType::TraceIter.raw(),
        Some(P::SockOps) => helper == DELETE,
        Some(
            P::SocketFilter
            | P::SchedCls
            | P::SchedAct
            | P::Xdp
            | P::SkReuseport
            | P::FlowDissector
            | P::SkLookup,
        ) => true,
        _ => false,
    };
    if !allowed {
        say!(env, Note::SocketMapFrozen);
    }
    allowed
}
