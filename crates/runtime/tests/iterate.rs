//! Iterators through the elements of a map: what they may reach and what they leave, on the running
//! kernel and here.

use std::sync::Arc;

use btf::{Btf, Kind};
use runtime::door::{AttachTo, LinkCreate};
use runtime::{Bpf, Config, Fd, ProgLoad, Runtime};
use uapi::{Errno, MapDef, MapType, ProgType};

const TRACE_ITER: u32 = 28;

fn kernel_btf() -> Option<Arc<Btf>> {
    let bytes = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    Some(Arc::new(Btf::load(&bytes, None).expect("the kernel's types")))
}

/// Adds one to the word at `value` of each value whose key has a byte at `key`.
fn program(door: &dyn Bpf, btf: &Btf, key: i16, value: i16) -> Fd {
    let text = format!(
        "r6 = *(u64 *)(r1 + 24)
         if r6 == 0 goto out
         r7 = *(u64 *)(r1 + 16)
         if r7 == 0 goto out
         r8 = *(u8 *)(r7 + {key})
         r9 = *(u64 *)(r6 + {value})
         r9 += 1
         *(u64 *)(r6 + {value}) = r9
     out:
         r0 = 0
         exit"
    );
    let target = btf.find_by_name("bpf_iter_bpf_map_elem", Kind::Func).expect("an iterator");
    let req = ProgLoad {
        name: "adds".into(),
        prog_type: Some(ProgType::Tracing),
        expected_attach_type: TRACE_ITER,
        attach_btf_id: target.0,
        license: "GPL".into(),
        insns: isa::asm::assemble(&text).expect("assembly"),
        ..ProgLoad::default()
    };
    door.prog_load(&req).unwrap_or_else(|error| panic!("{error}\n{}", error.log)).fd
}

fn steps(door: &dyn Bpf, btf: &Btf) -> Vec<String> {
    use MapType::{Array, Hash, LpmTrie, LruHash, PercpuArray, Queue};
    let mut said = Vec::new();
    for (kind, key_size, value_size) in
        [(Array, 4, 16), (Hash, 6, 16), (LruHash, 8, 12), (PercpuArray, 4, 8), (Queue, 0, 8)]
    {
        let map = door.map_create(&MapDef::new(kind, key_size, value_size, 3).into());
        let map = map.expect("a map");
        let cpus = door.possible_cpus() as usize;
        let room = if kind == PercpuArray { 8 * cpus } else { value_size as usize };
        let keys = [0_u8, 1, 2].map(|n| [&[n][..], &[0; 8][..]].concat());
        if kind != Queue {
            for key in &keys {
                let key = &key[..key_size as usize];
                door.map_update(map, key, &vec![7; room], 0).expect("an element");
            }
        }
        for (key, value) in [(0, 0), (3, 8), (5, 4), (7, 0), (8, 0), (0, 5), (0, 9), (0, 8000)] {
            let prog = program(door, btf, key, value);
            let to = AttachTo::Map { map };
            let req = LinkCreate { prog, attach_type: TRACE_ITER, to, ..LinkCreate::default() };
            let linked = door.link_create(&req);
            let read = linked.map(|link| (door.iter_read(link), door.close(link)));
            said.push(format!("{kind:?} {key} {value}: {read:?}"));
            door.close(prog).expect("open");
        }
        for key in &keys {
            let mut now = vec![0; room];
            let found = door.map_lookup(map, &key[..key_size as usize], &mut now, 0);
            said.push(format!("{kind:?} {found:?}: {:?}", &now[..room.min(16)]));
        }
        door.close(map).expect("open");
    }
    let map = door.map_create(&MapDef { flags: 1, ..MapDef::new(LpmTrie, 8, 8, 1) }.into());
    let prog = program(door, btf, 0, 0);
    for to in [AttachTo::Map { map: map.expect("a trie") }, AttachTo::Nothing] {
        let req = LinkCreate { prog, attach_type: TRACE_ITER, to, ..LinkCreate::default() };
        said.push(format!("{:?}", door.link_create(&req)));
    }
    said
}

#[test]
fn elements_are_gone_through_as_on_linux() {
    let (Ok(linux), Some(btf)) = (syscall::Linux::probe(), kernel_btf()) else {
        eprintln!("skipped: bpf(2) is not allowed here, or the kernel tells no types");
        return;
    };
    let kernel = steps(&linux, &btf);
    for engine in [runtime::Engine::Interp, runtime::Engine::Jit] {
        let cpus = linux.possible_cpus();
        let config = Config { kernel_btf: Some(btf.clone()), cpus, engine, ..Config::default() };
        let ours = steps(&Runtime::new(config), &btf);
        let wrong: Vec<_> =
            kernel.iter().zip(&ours).filter(|(kernel, ours)| kernel != ours).collect();
        assert!(wrong.is_empty(), "{engine:?}: {wrong:#?}");
    }
    assert!(kernel.iter().any(|line| line.contains(&format!("{:?}", Errno::EACCES))));
}
