//! The door onto the running kernel, against what the kernel says elsewhere.

use isa::Insn;
use runtime::door::{Bpf, LogRequest, MapCreate, ObjKind, ProgLoad, TestRun};
use syscall::Linux;
use uapi::{Errno, MapDef, MapType, ProgType};

/// The kernel, or a visible word that it is out of reach.
fn kernel() -> Option<Linux> {
    Linux::probe().map_err(|errno| eprintln!("skipped: no bpf(2) here ({errno})")).ok()
}

fn xdp(insns: Vec<Insn>) -> ProgLoad {
    ProgLoad {
        name: "door_test".into(),
        prog_type: Some(ProgType::Xdp),
        license: "GPL".into(),
        insns,
        log: LogRequest { level: 1, size: 0 },
        ..ProgLoad::default()
    }
}

fn pass() -> Vec<Insn> {
    vec![Insn::new(0xb7, 0, 0, 0, 2), Insn::new(0x95, 0, 0, 0, 0)]
}

#[test]
fn a_hash_map_keeps_what_is_written() {
    let Some(linux) = kernel() else { return };
    let mut def = MapDef::new(MapType::Hash, 4, 8, 2);
    def.name = "door_map".into();
    let map = linux.map_create(&MapCreate::from(def)).unwrap();
    linux.map_update(map, &1u32.to_le_bytes(), &7u64.to_le_bytes(), 0).unwrap();
    let mut value = [0; 8];
    linux.map_lookup(map, &1u32.to_le_bytes(), &mut value, 0).unwrap();
    assert_eq!(u64::from_le_bytes(value), 7);
    assert_eq!(linux.map_lookup(map, &[9; 4], &mut value, 0), Err(Errno::ENOENT));
    let mut next = [0; 4];
    linux.map_next_key(map, None, &mut next).unwrap();
    assert_eq!(u32::from_le_bytes(next), 1);
    let info = linux.map_info(map).unwrap();
    assert_eq!((info.def.name.as_str(), info.def.max_entries, info.frozen), ("door_map", 2, false));
    let batch = linux.map_lookup_batch(map, None, 2, false, 0).unwrap();
    assert_eq!((batch.count, batch.keys.len(), batch.values.len()), (1, 4, 8));
    linux.map_freeze(map).unwrap();
    assert!(linux.map_info(map).unwrap().frozen);
    linux.close(map).unwrap();
}

#[test]
fn short_buffers_never_reach_the_kernel() {
    let Some(linux) = kernel() else { return };
    let map = linux.map_create(&MapDef::new(MapType::PercpuArray, 4, 8, 1).into()).unwrap();
    let mut value = vec![0; 8 * linux.possible_cpus() as usize - 1];
    assert_eq!(linux.map_lookup(map, &[0; 4], &mut value, 0), Err(Errno::EFAULT));
    assert_eq!(linux.map_lookup(map, &[0; 3], &mut [0; 4096], 0), Err(Errno::EFAULT));
    linux.close(map).unwrap();
}

#[test]
fn a_program_loads_runs_and_tells_about_itself() {
    let Some(linux) = kernel() else { return };
    let prog = linux.prog_load(&xdp(pass())).unwrap().fd;
    let run = TestRun { data_in: Some(vec![0; 64]), data_out: Some(64), ..TestRun::default() };
    let out = linux.test_run(prog, &run).unwrap();
    assert_eq!((out.retval, out.data_out.len()), (2, 64));
    let info = linux.prog_info(prog).unwrap();
    assert_eq!((info.name.as_str(), info.prog_type), ("door_test", ProgType::Xdp.raw()));
    // The kernel prints the same tag in fdinfo.
    let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", prog.0)).unwrap();
    let tag: String = info.tag.iter().map(|b| format!("{b:02x}")).collect();
    assert!(fdinfo.contains(&tag), "{tag} in {fdinfo}");
    assert_eq!(linux.kind(prog).unwrap(), ObjKind::Prog);
    let again = linux.fd_by_id(ObjKind::Prog, info.id, 0).unwrap();
    assert_eq!(linux.prog_info(again).unwrap().id, info.id);
    linux.close(again).unwrap();
    linux.close(prog).unwrap();
}

#[test]
fn a_rejection_brings_the_log() {
    let Some(linux) = kernel() else { return };
    let refused = linux.prog_load(&xdp(vec![Insn::new(0x95, 0, 0, 0, 0)])).unwrap_err();
    assert_eq!(refused.errno, Errno::EACCES);
    assert!(refused.log.contains("R0 !read_ok"), "{}", refused.log);
    assert_eq!(refused.log_true_size as usize, refused.log.len() + 1);
}
