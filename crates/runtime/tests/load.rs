//! BPF_PROG_LOAD through the door, against the running Linux.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, call, i, mov, ours, request, same};
use runtime::door::{Bpf, LogRequest, ProgLoad};
use uapi::{Errno, ProgType};

/// Error number, log and its true size; an accepted program's log has no time in it.
fn load(bpf: &dyn Bpf, req: &ProgLoad) -> (Result<(), Errno>, String, u32) {
    match bpf.prog_load(req) {
        Ok(loaded) => (Ok(()), loaded.log, loaded.log_true_size),
        Err(error) => (Err(error.errno), error.log, error.log_true_size),
    }
}

#[test]
fn logs_are_cut_as_by_linux() {
    let good = [mov(0, 2), EXIT];
    let bad = [i(0x61, 0, 1, 400, 0), EXIT];
    for insns in [&good, &bad] {
        for level in [0, 1, 2, 3, 4, 8, 9, 10, 16] {
            for size in [0, 1, 2, 10, 50, 100, 4096] {
                if level == 0 && size != 0 {
                    // The door asks for no log then.
                    continue;
                }
                same(&format!("log level {level} into {size} bytes"), |bpf| {
                    let mut req = request(ProgType::Xdp, insns);
                    req.log = LogRequest { level, size };
                    let (done, log, true_size) = load(bpf, &req);
                    // The statistics' line tells a time at level 4.
                    if level & 4 != 0 { (done, String::new(), 0) } else { (done, log, true_size) }
                });
            }
        }
    }
}

#[test]
fn attributes_are_checked_as_by_linux() {
    type Change = fn(&mut ProgLoad);
    let changes: [(&str, Change); 10] = [
        ("no instructions", |r| r.insns.clear()),
        ("no type", |r| r.prog_type = None),
        ("a name with a space", |r| r.name = "a b".into()),
        ("a dotted name", |r| r.name = "a.b_c".into()),
        ("an unknown flag", |r| r.flags = 1 << 30),
        ("strict alignment", |r| r.flags = 1),
        ("sleepable XDP", |r| r.flags = 1 << 4),
        ("a bad attach type", |r| r.expected_attach_type = 99),
        ("a GPL helper without the licence", |r| {
            r.license = "Proprietary".into();
            r.prog_type = Some(ProgType::Kprobe);
            r.insns = vec![mov(1, 0), mov(2, 0), mov(3, 0), call(113), EXIT];
        }),
        ("no licence", |r| r.license.clear()),
    ];
    for (what, change) in changes {
        same(what, |bpf| {
            let mut req = request(ProgType::Xdp, &[mov(0, 2), EXIT]);
            change(&mut req);
            bpf.prog_load(&req).map(|_| ()).map_err(|e| e.errno)
        });
    }
}

#[test]
fn info_tells_what_was_loaded() {
    let bpf = ours();
    let mut req = request(ProgType::SchedCls, &[mov(0, 0), EXIT]);
    req.name = "zero".into();
    let fd = bpf.prog_load(&req).unwrap().fd;
    let info = bpf.prog_info(fd).unwrap();
    assert_eq!((info.name.as_str(), info.prog_type), ("zero", ProgType::SchedCls.raw()));
    assert_eq!((info.xlated.len(), info.verified_insns, info.gpl_compatible), (2, 2, true));
    assert_eq!(bpf.fd_by_id(runtime::ObjKind::Prog, info.id, 0).map(|fd| fd.0), Ok(fd.0 + 1));
}
