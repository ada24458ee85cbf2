//! What the recorded commands were given beside maps: programs, sockets, groups, types.

use isa::Insn;
use runtime::door::{Bpf, BtfLoad, Fd, LogRequest, MapCreate, Outside, ProgLoad, SocketKind};
use serde_json::Value;
use uapi::{Errno, MapDef, MapType, ProgType, map_flags};

use super::interface;

/// A door, and descriptors behind it.
pub(super) struct World<'a> {
    pub(super) door: &'a dyn Bpf,
    /// BTF with `int` as type 1.
    pub(super) btf: Fd,
    pub(super) prog: Fd,
    /// An array of one 4-byte value: the model of inner maps.
    pub(super) inner: Fd,
    pub(super) socket: Fd,
    pub(super) group: Fd,
    pub(super) task: Fd,
    pub(super) file: Fd,
    /// The kernel's type that values of struct_ops had when they were recorded; 0 without.
    pub(super) interface: u32,
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        for fd in [self.btf, self.prog, self.inner, self.socket, self.group, self.task, self.file] {
            let _ = self.door.close(fd);
        }
    }
}

impl<'a> World<'a> {
    pub(super) fn new(door: &'a dyn Bpf) -> Result<World<'a>, String> {
        let say = |what: &'static str| move |e: Errno| format!("{what}: {e}");
        let open = |what: Outside| door.open_outside(&what).map_err(say("a descriptor"));
        let log = LogRequest::default();
        let btf = door.btf_load(&BtfLoad { data: int_btf(), log }).map_err(|e| e.to_string())?;
        let insns = vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)];
        let prog = ProgLoad {
            prog_type: Some(ProgType::SocketFilter),
            license: "GPL".into(),
            insns,
            ..ProgLoad::default()
        };
        let model = MapDef::new(MapType::Array, 4, 4, 1);
        Ok(World {
            door,
            btf: btf.fd,
            prog: door.prog_load(&prog).map_err(|e| e.to_string())?.fd,
            inner: door.map_create(&model.into()).map_err(say("an inner map"))?,
            socket: open(Outside::Socket(SocketKind::TcpClosed))?,
            group: open(Outside::Cgroup(group_path().into()))?,
            task: open(Outside::Task(std::process::id()))?,
            file: open(Outside::File("/tmp".into()))?,
            interface: interface::find(door, btf.fd),
        })
    }

    /// The recorded base of a type.
    pub(super) fn base(&self, t: MapType, row: &Value) -> MapCreate {
        let params = &row["create"]["base"]["params"];
        let n = |k: &str| params[k].as_u64().unwrap_or(0) as u32;
        let mut def = MapDef::new(t, n("ks"), n("vs"), n("me"));
        def.flags = n("flags");
        let mut req = MapCreate::from(def);
        if local_storage(t) {
            (req.def.btf_key_type_id, req.def.btf_value_type_id) = (1, 1);
            req.btf = Some(self.btf);
        }
        if t == MapType::StructOps {
            req.def.btf_vmlinux_value_type_id = self.interface;
            req.btf = Some(self.btf);
        }
        if t.name().ends_with("OF_MAPS") {
            req.inner_map = Some(self.inner);
        }
        req
    }

    pub(super) fn key(&self, t: MapType, def: &MapDef, n: u32) -> Vec<u8> {
        let owner = match t {
            MapType::LpmTrie => {
                return [32u32.to_ne_bytes(), (0x0a | n << 24).to_ne_bytes()].concat();
            }
            MapType::SkStorage => Some(self.socket),
            MapType::InodeStorage => Some(self.file),
            MapType::TaskStorage => Some(self.task),
            MapType::CgrpStorage => Some(self.group),
            _ => None,
        };
        let mut key = owner.map_or(n, |fd| fd.0 as u32).to_ne_bytes().to_vec();
        key.resize(def.key_size as usize, 0);
        key
    }

    /// A value in user layout, of this byte where any will do.
    pub(super) fn value(&self, t: MapType, def: &MapDef, byte: u8) -> Vec<u8> {
        let size = self.door.user_value_size(def);
        let word = match t {
            // The loopback interface; a queue of 192 packets.
            MapType::Devmap | MapType::DevmapHash => Some(1),
            MapType::Cpumap => Some(192),
            MapType::ProgArray => Some(self.prog.0),
            MapType::ArrayOfMaps | MapType::HashOfMaps => Some(self.inner.0),
            MapType::CgroupArray => Some(self.group.0),
            MapType::Sockmap
            | MapType::Sockhash
            | MapType::Xskmap
            | MapType::ReuseportSockarray
            | MapType::PerfEventArray => Some(self.socket.0),
            _ if local_storage(t) => Some(i32::from(byte >> 4)),
            _ => None,
        };
        let mut value = vec![byte; size];
        if let Some(word) = word {
            value.fill(0);
            value[..4].copy_from_slice(&word.to_ne_bytes());
        }
        value
    }
}

/// Where the tree of groups of version 2 is.
fn group_path() -> &'static str {
    const BESIDE: &str = "/sys/fs/cgroup/unified";
    if std::path::Path::new(BESIDE).is_dir() { BESIDE } else { "/sys/fs/cgroup" }
}

/// Its keys are descriptors of sockets, inodes, tasks or groups, and types are a must.
pub(super) fn local_storage(t: MapType) -> bool {
    use MapType::{CgrpStorage, InodeStorage, SkStorage, TaskStorage};
    matches!(t, SkStorage | InodeStorage | TaskStorage | CgrpStorage)
}

/// The base may be made without more than its numbers.
pub(super) fn flag(name: &str) -> u32 {
    match name {
        "RDONLY" => map_flags::RDONLY,
        "WRONLY" => map_flags::WRONLY,
        "MMAPABLE" => map_flags::MMAPABLE,
        _ => 0,
    }
}

/// `int` as type 1, by hand: header, one type, two strings.
fn int_btf() -> Vec<u8> {
    const INT: u32 = 1 << 24;
    const SIGNED_32: u32 = 1 << 24 | 32;
    let mut btf = vec![0x9f, 0xeb, 1, 0];
    for word in [24u32, 0, 16, 16, 5, 1, INT, 4, SIGNED_32] {
        btf.extend(word.to_le_bytes());
    }
    btf.extend(b"\0int\0");
    btf
}
