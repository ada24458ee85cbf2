//! A server at the other end of a socket pair, and small requests.
#![allow(dead_code, reason = "each test file uses a part")]

use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use daemon::{Client, Server};
use runtime::door::{Fd, MapCreate, ProgLoad};
use runtime::{Config, Deterministic, Limits, Runtime};
use uapi::{MapDef, MapType, ProgType};

/// A runtime whose answers repeat.
pub(crate) fn runtime(limits: Limits) -> Runtime {
    let deterministic = Some(Deterministic { now_ns: 1_000_000_000, seed: 7 });
    Runtime::new(Config { cpus: 2, deterministic, limits, ..Config::default() })
}

/// A client of `server`, and the thread that answers it.
pub(crate) fn connect(server: &Server) -> (Client, JoinHandle<bool>) {
    let (ours, thread) = raw(server);
    (Client::new(ours).expect("a welcome"), thread)
}

/// A connection to `server` that has said nothing yet.
pub(crate) fn raw(server: &Server) -> (UnixStream, JoinHandle<bool>) {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let server = server.clone();
    (ours, std::thread::spawn(move || server.answer(theirs)))
}

/// A map of 4-byte keys and 8-byte values.
pub(crate) fn map(map_type: MapType, max_entries: u32) -> MapCreate {
    let mut def = MapDef::new(map_type, 4, 8, max_entries);
    def.name = "test".into();
    def.into()
}

/// An XDP program in assembly; `MAP` is the map's descriptor.
pub(crate) fn xdp(text: &str, map: Option<Fd>) -> ProgLoad {
    let text = text.replace("MAP", &map.map_or(-1, |fd| fd.0).to_string());
    let mut insns = isa::asm::assemble(&text).expect("assembly");
    if let Some(map) = map {
        for insn in insns.iter_mut().filter(|insn| insn.is_ld_imm64() && insn.imm == map.0) {
            // BPF_PSEUDO_MAP_FD
            insn.regs |= 1 << 4;
        }
    }
    ProgLoad {
        name: "test".into(),
        prog_type: Some(ProgType::Xdp),
        license: "GPL".into(),
        insns,
        ..ProgLoad::default()
    }
}

/// Counts in element 0 of the map and passes.
pub(crate) const COUNT: &str = "
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = MAP ll
    call 1
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 2
    exit";
