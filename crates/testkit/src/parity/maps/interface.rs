//! The interface of the recorded struct_ops map: TCP's congestion control.

use std::sync::Arc;

use btf::{Btf, Kind};
use runtime::door::{Bpf, Fd, MapCreate};
use uapi::{MapDef, MapType};

use crate::parity::kernel_types;

const NAME: &str = "bpf_struct_ops_tcp_congestion_ops";
/// Bytes of the recorded value.
const VALUE: u32 = 256;

/// The type in the BTF of the kernel behind this door; 0 without.
pub(super) fn find(door: &dyn Bpf, btf: Fd) -> u32 {
    let running = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let running = running.and_then(|bytes| Btf::parse(&bytes).ok()).map(Arc::new);
    let known = [kernel_types::model().ok(), running].into_iter().flatten();
    let mut ids = known.filter_map(|btf| Some(btf.find_by_name(NAME, Kind::Struct)?.0));
    ids.find(|id| is_there(door, btf, *id)).unwrap_or(0)
}

fn is_there(door: &dyn Bpf, btf: Fd, id: u32) -> bool {
    let mut def = MapDef::new(MapType::StructOps, 4, VALUE, 1);
    def.btf_vmlinux_value_type_id = id;
    let req = MapCreate { btf: Some(btf), ..def.into() };
    door.map_create(&req).is_ok_and(|fd| door.close(fd).is_ok())
}
