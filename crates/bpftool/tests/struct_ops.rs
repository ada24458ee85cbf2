//! Structures of the kernel's in maps: what may be put in, registered and linked, by Linux's rules
//! (`kernel/bpf/bpf_struct_ops.c`, `net/ipv4/tcp_cong.c`).

use ring3::{Kernel, Object};
use runtime::door::{Bpf, Fd, LinkCreate, LinkTarget, MapCreate};
use runtime::{Config, Runtime};
use uapi::{Errno, MapType, map_flags};

const STRUCT_OPS: u32 = 44;
const EINPROGRESS: Errno = Errno(115);
/// `enum bpf_struct_ops_state`.
const IN_USE: u32 = 1;
const TO_BE_FREE: u32 = 2;
const READY: u32 = 3;

/// The recorded congestion control: its map, a definition for more of them, their value.
struct Staged {
    door: Runtime,
    map: Fd,
    another: MapCreate,
    value: Vec<u8>,
}

fn staged() -> Option<Staged> {
    let kernel = Kernel::running();
    let Ok(types) = kernel.types() else {
        eprintln!("skipped: the kernel's types (/sys/kernel/btf/vmlinux) are not here");
        return None;
    };
    let door = Runtime::new(Config { kernel_btf: Some(types), ..Config::default() });
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/bpftool-golden/objects/structops.bpf.o");
    let bytes = std::fs::read(file).expect("the recorded object");
    let mut object = Object::parse("structops.bpf.o", &bytes).expect("an object");
    object.resolve(&kernel).expect("the kernel has its types");
    let fds = ring3::load::load(&door, &object, None).expect("loaded");
    let maps = object.spec().maps.iter().zip(&fds.maps);
    let mut maps = maps.filter(|(spec, _)| spec.def.map_type == MapType::StructOps);
    let (spec, map) = maps.next().expect("its map");
    let value = ring3::load::struct_ops_value(spec, &fds).expect("its value");
    let mut def = door.map_info(*map).expect("its own").def;
    def.flags = map_flags::LINK;
    let another = MapCreate { def, btf: fds.btf, inner_map: None };
    Some(Staged { door, map: *map, another, value })
}

impl Staged {
    fn update(&self, map: Fd, value: &[u8]) -> Result<(), Errno> {
        self.door.map_update(map, &[0; 4], value, 0)
    }

    /// Holders and state.
    fn head(&self, map: Fd) -> (u32, u32) {
        let mut value = vec![0; self.value.len()];
        self.door.map_lookup(map, &[0; 4], &mut value, 0).expect("the element");
        let word = |at: usize| u32::from_ne_bytes(*value[at..].first_chunk().expect("a word"));
        (word(0), word(4))
    }

    fn link(&self, map: Fd) -> Result<Fd, Errno> {
        let req = LinkCreate { prog: map, attach_type: STRUCT_OPS, ..LinkCreate::default() };
        self.door.link_create(&req)
    }

    fn ready(&self) -> Fd {
        let map = self.door.map_create(&self.another).expect("a map");
        self.update(map, &self.value).expect("ready");
        map
    }
}

#[test]
fn a_map_registers_once_and_for_all() {
    let Some(staged) = staged() else { return };
    let (door, map) = (&staged.door, staged.map);
    assert_eq!(staged.head(map), (0, 0));
    assert_eq!(door.map_delete(map, &[0; 4]), Err(Errno::ENOENT));
    for (at, what) in [(0, "a count"), (4, "a state"), (8, "a byte in the line's rest")] {
        let mut wrong = staged.value.clone();
        wrong[at] = 1;
        assert_eq!(staged.update(map, &wrong), Err(Errno::EINVAL), "{what}");
    }
    // The first two functions in each other's place.
    let mut crossed = staged.value.clone();
    let functions: Vec<usize> =
        (64..crossed.len()).step_by(8).filter(|at| crossed[*at] != 0).take(2).collect();
    for byte in 0..8 {
        crossed.swap(functions[0] + byte, functions[1] + byte);
    }
    assert_eq!(staged.update(map, &crossed), Err(Errno::EINVAL));
    let mut missing = staged.value.clone();
    missing[functions[0]..functions[0] + 8].fill(0);
    assert_eq!(staged.update(map, &missing), Err(Errno::EINVAL));
    assert_eq!(door.map_update(map, &[1, 0, 0, 0], &staged.value, 0), Err(Errno::E2BIG));
    assert_eq!(staged.update(map, &staged.value), Ok(()));
    assert_eq!(staged.head(map), (1, IN_USE));
    assert_eq!(staged.update(map, &staged.value), Err(Errno::EBUSY));
    assert_eq!(staged.link(map), Err(Errno::EINVAL));

    // It lives without descriptors, and keeps its name.
    let id = door.map_info(map).expect("open").id;
    door.close(map).expect("open");
    let second = staged.ready();
    assert_eq!(staged.link(second), Err(Errno::EEXIST));
    let map = door.fd_by_id(runtime::ObjKind::Map, id, 0).expect("it is in use");
    assert_eq!(door.map_delete(map, &[0; 4]), Ok(()));
    assert_eq!(staged.head(map), (0, TO_BE_FREE));
    assert_eq!(door.map_delete(map, &[0; 4]), Err(EINPROGRESS));
    assert_eq!(staged.update(map, &staged.value), Err(Errno::EBUSY));
    staged.link(second).expect("the name is free");
}

#[test]
fn links_register_as_long_as_they_are() {
    let Some(staged) = staged() else { return };
    let door = &staged.door;
    let empty = door.map_create(&staged.another).expect("a map");
    assert_eq!(staged.link(empty), Err(Errno::EINVAL));
    let (first, second) = (staged.ready(), staged.ready());
    assert_eq!(staged.head(first), (0, READY));
    assert_eq!(staged.update(first, &staged.value), Err(Errno::EBUSY));
    assert_eq!(door.map_delete(first, &[0; 4]), Err(Errno::EOPNOTSUPP));
    let link = staged.link(first).expect("registered");
    assert_eq!(staged.head(first), (1, READY));
    assert_eq!(staged.link(first), Err(Errno::EEXIST));
    assert_eq!(staged.link(second), Err(Errno::EEXIST));
    let id = |map| door.map_info(map).expect("open").id;
    let info = door.link_info(link).expect("a link");
    assert_eq!((info.link_type, info.prog_id), (9, 0));
    assert_eq!(info.target, LinkTarget::StructOps { map_id: id(first) });

    const REPLACE: u32 = 4;
    assert_eq!(door.link_update(link, empty, None, 0), Err(Errno::EINVAL));
    assert_eq!(door.link_update(link, second, Some(second), REPLACE), Err(Errno::EPERM));
    assert_eq!(door.link_update(link, second, Some(first), REPLACE), Ok(()));
    assert_eq!((staged.head(first), staged.head(second)), ((0, READY), (1, READY)));
    let target = door.link_info(link).expect("a link").target;
    assert_eq!(target, LinkTarget::StructOps { map_id: id(second) });

    assert_eq!(door.link_detach(link), Ok(()));
    assert_eq!(door.link_detach(link), Ok(()));
    assert_eq!(door.link_info(link).expect("a link").target, LinkTarget::StructOps { map_id: 0 });
    assert_eq!(door.link_update(link, first, None, 0), Err(Errno::ENOLINK));
    let again = staged.link(first).expect("the name is free");
    door.obj_pin(again, "/sys/fs/bpf/cc").expect("pinned");
    door.close(again).expect("open");
    assert_eq!(staged.link(second), Err(Errno::EEXIST));
    door.fs_unlink("/sys/fs/bpf/cc").expect("unpinned");
    staged.link(second).expect("the name is free");
}
