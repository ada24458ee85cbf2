//! Helpers on socket buffers, groups and dynamic pointers, against the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::MetadataExt;

use common::{EXIT, add, call, i, ld_map, ld64, load, mov_reg, ours, same};
use isa::Insn;
use runtime::door::{Bpf, Fd, LoadError, ProgLoad, TestRun};
use uapi::{Errno, MapDef, MapType, ProgType};

/// An argument of a call.
#[derive(Clone, Copy)]
enum Arg {
    Ctx,
    Num(i64),
    /// 32 bytes of stack and more, at `r10 +`.
    Stack(i16),
    Map(Fd),
}
use Arg::{Ctx, Map, Num, Stack};

/// A call of a helper.
type Step<'s> = (i32, &'s [Arg]);

/// Offsets of `__sk_buff` members that tell what happened, and of those that carry it out.
const SHOWN: [(i16, i16); 7] = [(0, 48), (4, 52), (16, 56), (20, 60), (24, 64), (28, 8), (68, 32)];

/// r0 = the answers, mixed; on the way out the context shows the members above.
fn program(steps: &[Step<'_>], show: bool) -> Vec<Insn> {
    let mut out = vec![mov_reg(6, 1), i(0xb7, 7, 0, 0, 0)];
    out.extend((1..=12).map(|n| i(0x7a, 10, 0, -8 * n, 0)));
    for (helper, args) in steps {
        for (reg, arg) in (1..).zip(*args) {
            match *arg {
                Ctx => out.push(mov_reg(reg, 6)),
                Num(value) => out.extend(ld64(reg, value as u64)),
                Stack(off) => out.extend([mov_reg(reg, 10), add(reg, off.into())]),
                Map(fd) => out.extend(ld_map(reg, fd)),
            }
        }
        out.extend([call(*helper), i(0x27, 7, 0, 0, 31), i(0x0f, 7, 0, 0, 0)]);
    }
    if show {
        for (from, to) in SHOWN {
            out.extend([i(0x61, 1, 6, from, 0), i(0x63, 6, 1, to, 0)]);
        }
    }
    // What buffers on the stack hold counts, too.
    for n in 1..=12 {
        out.extend([i(0x79, 1, 10, -8 * n, 0), i(0x27, 7, 0, 0, 31), i(0x0f, 7, 1, 0, 0)]);
    }
    out.extend([mov_reg(0, 7), EXIT]);
    out
}

type Seen = (u32, Vec<u8>, Vec<u8>);

fn run(bpf: &dyn Bpf, packet: &[u8], steps: &[Step<'_>]) -> Seen {
    let prog = load(bpf, ProgType::SchedCls, &program(steps, true));
    let data_out = Some(4096);
    let request = TestRun {
        data_in: Some(packet.to_vec()),
        data_out,
        ctx_in: Some(vec![0; 192]),
        ctx_out: Some(192),
        ..TestRun::default()
    };
    let out = bpf.test_run(prog, &request).unwrap();
    (out.retval, out.data_out, out.ctx_out)
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    out.extend(ethertype.to_be_bytes());
    out.extend(payload);
    out
}

/// An IPv4 packet of 100 bytes, ECN bits set to `ecn`.
fn ipv4(ecn: u8, sum: u16) -> Vec<u8> {
    let mut ip = vec![0x45, ecn, 0, 86, 1, 2, 0, 0, 64, 17];
    ip.extend(sum.to_be_bytes());
    ip.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    ip.extend(1..=66);
    ethernet(0x0800, &ip)
}

fn ipv6(ecn: u8) -> Vec<u8> {
    let mut ip = vec![0x60, ecn << 4, 0, 0, 0, 60, 17, 64];
    ip.extend([7; 32]);
    ip.extend(1..=60);
    ethernet(0x86dd, &ip)
}

fn tagged(tci: u16, inner: u16) -> Vec<u8> {
    let mut payload = tci.to_be_bytes().to_vec();
    payload.extend(inner.to_be_bytes());
    payload.extend(1..=80);
    ethernet(0x8100, &payload)
}

fn packets() -> Vec<Vec<u8>> {
    let double = {
        let mut payload = vec![0, 5, 0x81, 0, 0, 6, 8, 0];
        payload.extend(1..=80);
        ethernet(0x88a8, &payload)
    };
    vec![
        ipv4(0, 0x1234),
        ipv6(1),
        tagged(0x2007, 0x0800),
        tagged(3, 40),
        double,
        ethernet(0x0806, &[9; 60]),
    ]
}

fn same_steps(steps: &[Step<'_>]) {
    for packet in packets() {
        let what: Vec<_> = steps.iter().map(|(id, args)| (*id, numbers(args))).collect();
        same(&format!("{what:?} on {:02x?}", &packet[..20]), |bpf| run(bpf, &packet, steps));
    }
}

fn numbers(args: &[Arg]) -> Vec<i64> {
    args.iter().filter_map(|arg| if let Num(n) = arg { Some(*n) } else { None }).collect()
}

const BYTES_AT_NET: Step<'static> = (68, &[Ctx, Num(0), Stack(-32), Num(16), Num(1)]);
const BYTES_AT_MAC: Step<'static> = (68, &[Ctx, Num(0), Stack(-64), Num(16), Num(0)]);

#[test]
fn vlan_tags_go_in_and_out_as_on_linux() {
    let be = |p: u16| Num(i64::from(p.to_be()));
    let push = [Ctx, be(0x8100), Num(0x2005)];
    let push_ad = [Ctx, be(0x88a8), Num(0x12345)];
    let push_odd = [Ctx, be(0x0800), Num(7)];
    let at = [BYTES_AT_NET, BYTES_AT_MAC];
    let all: [&[Step<'_>]; 7] = [
        &[(18, &push)],
        &[(18, &push), (18, &push_ad)],
        &[(18, &push_odd), (18, &push), (18, &push_ad)],
        &[(19, &[Ctx])],
        &[(19, &[Ctx]), (19, &[Ctx])],
        &[(18, &push), (18, &push_ad), (19, &[Ctx])],
        &[(18, &push), (19, &[Ctx]), (19, &[Ctx]), (18, &push_odd)],
    ];
    for steps in all {
        same_steps(steps);
        same_steps(&[steps, &at].concat());
    }
}

#[test]
fn room_changes_as_on_linux() {
    for (room, flags) in [(0, 0), (4, 0), (20, 0), (5, 1), (-1, 0), (0x7fff_ffff, 0)] {
        same_steps(&[(43, &[Ctx, Num(room), Num(flags)]), BYTES_AT_NET, BYTES_AT_MAC]);
    }
    for (len, flags) in [(14, 0), (13, 0), (0, 0), (50, 0), (200, 0), (60, 1), (-1, 0), (65551, 0)]
    {
        same_steps(&[(38, &[Ctx, Num(len), Num(flags)])]);
    }
    for (proto, flags) in [(0x0800u16, 0), (0x86dd, 0), (0x86dd, 1), (0x0806, 0)] {
        let change = [Ctx, Num(proto.to_be().into()), Num(flags)];
        same_steps(&[(31, &change), BYTES_AT_NET, BYTES_AT_MAC]);
    }
    for by in [0, 8, 20, 28, -8, -20, -40, -59, -60, -66, -86, -100, 0x1000, -0x1000] {
        for mode in [0, 1, 2] {
            for flags in [0, 1, 2, 4, 6, 0x12, 0x18, 0x20, 0x80, 0x100, 0x180, 0x200, 0x42] {
                let change = [Ctx, Num(by), Num(mode), Num(flags)];
                same_steps(&[(50, &change), BYTES_AT_NET, BYTES_AT_MAC]);
            }
        }
    }
}

#[test]
fn outer_headers_are_put_on_once_as_on_linux() {
    let encap = |by: i64, flags: i64| [Ctx, Num(by), Num(1), Num(flags)];
    for (first, second) in [(2, 2), (2, 4), (0, 2), (2, 0), (4, 0x0a), (6, 2), (0x20, 2)] {
        let (one, two, off) = (encap(20, first), encap(20, second), encap(-20, 0x80));
        same_steps(&[(50, &one), (50, &two)]);
        same_steps(&[(50, &one), (50, &off), (50, &two)]);
    }
}

#[test]
fn marks_change_as_on_linux() {
    for to in [0, 1, 2, 3, 4, -1] {
        same_steps(&[(32, &[Ctx, Num(to)])]);
    }
    same_steps(&[(48, &[Ctx, Num(0x1_2345_6789)]), (34, &[Ctx])]);
    same_steps(&[(48, &[Ctx, Num(7)]), (41, &[Ctx])]);
    for level in [0, 1, 2, 3, 4, -1] {
        same_steps(&[(135, &[Ctx, Num(level)])]);
    }
    same_steps(&[(40, &[Ctx, Num(7)])]);
    for (time, clock) in [(0, 0), (5, 0), (5, 1), (0, 1), (5, 2), (0, 2), (5, 3), (5, -1)] {
        same_steps(&[(192, &[Ctx, Num(time), Num(clock)])]);
    }
    for ecn in 0..4 {
        for sum in [0u16, 1, 2, 3, 0x1234, 0xfffd, 0xfffe, 0xffff] {
            same(&format!("ECN {ecn} {sum:#x}"), |bpf| run(bpf, &ipv4(ecn, sum), &[(97, &[Ctx])]));
        }
        same(&format!("ECN {ecn} of IPv6"), |bpf| run(bpf, &ipv6(ecn), &[(97, &[Ctx])]));
    }
    same_steps(&[(97, &[Ctx])]);
}

#[test]
fn what_is_not_there_is_answered_as_on_linux() {
    let buf = Stack(-96);
    for flags in [0, 1, 2] {
        same_steps(&[
            (20, &[Ctx, buf, Num(40), Num(flags)]),
            (66, &[Ctx, Num(0), buf, Num(24), Num(flags)]),
        ]);
    }
    same_steps(&[(29, &[Ctx, buf, Num(40)]), (30, &[Ctx, buf, Num(8)])]);
    same_steps(&[(17, &[Ctx]), (24, &[Ctx]), (151, &[Ctx])]);
    same_steps(&[(13, &[Ctx, Num(0x7fff_fff0), Num(0)]), (13, &[Ctx, Num(1), Num(2)])]);
    for flags in [0, 1] {
        same_steps(&[(155, &[Num(1), Num(flags)])]);
        for size in [0, 4, 20, 24] {
            let neighbour = if size == 0 { Num(0) } else { buf };
            same_steps(&[(152, &[Num(1), neighbour, Num(size), Num(flags)])]);
        }
    }
    for (size, flags) in [(64, 0), (60, 0), (64, 64), (64, 1)] {
        same_steps(&[(69, &[Ctx, buf, Num(size), Num(flags)])]);
    }
    for index in [0, 1, 0x7fff_fff0] {
        for (diff, flags) in [(0, 0), (65000, 0), (65536, 0), (-5, 0), (0, 1), (1, 1), (0, 2)] {
            same_steps(&[(163, &[Ctx, Num(index), Stack(-8), Num(diff), Num(flags)])]);
        }
    }
}

#[test]
fn arrays_without_anything_answer_as_on_linux() {
    for index in [0, 1, 2, -1, 1 << 32] {
        same(&format!("arrays at {index}"), |bpf| {
            let array = |t| bpf.map_create(&MapDef::new(t, 4, 4, 2).into()).unwrap();
            let groups = array(MapType::CgroupArray);
            let perf = array(MapType::PerfEventArray);
            let value = [Map(perf), Num(index), Stack(-96), Num(24)];
            let steps: &[Step<'_>] = &[
                (33, &[Ctx, Map(groups), Num(index)]),
                (37, &[Map(groups), Num(index)]),
                (22, &[Map(perf), Num(index)]),
                (55, &value),
                (55, &[Map(perf), Num(index), Stack(-96), Num(16)]),
            ];
            run(bpf, &ipv4(0, 0), steps)
        });
    }
}

/// The flow's hash stays, is never 0, and differs from another flow's.
#[test]
fn flows_have_hashes() {
    let bpf = ours();
    let hash = |packet: &[u8]| run(&bpf, packet, &[(34, &[Ctx])]).2[32..36].to_vec();
    assert_eq!(hash(&ipv4(0, 0)), hash(&ipv4(1, 5)));
    assert_ne!(hash(&ipv4(0, 0)), hash(&ipv6(0)));
    assert_ne!(hash(&ipv4(0, 0)), [0; 4]);
}

/// A loaded syscall program.
fn sleepable(bpf: &dyn Bpf, insns: &[Insn]) -> Fd {
    match try_sleepable(bpf, insns) {
        Ok(prog) => prog,
        Err(error) => panic!("{error}\n{}", error.log),
    }
}

fn try_sleepable(bpf: &dyn Bpf, insns: &[Insn]) -> Result<Fd, LoadError> {
    const SLEEPABLE: u32 = 1 << 4;
    let request = ProgLoad { flags: SLEEPABLE, ..common::request(ProgType::Syscall, insns) };
    bpf.prog_load(&request).map(|loaded| loaded.fd)
}

/// A syscall program of these steps.
fn plain(bpf: &dyn Bpf, steps: &[Step<'_>]) -> u32 {
    let prog = sleepable(bpf, &program(steps, false));
    let request = TestRun { ctx_in: Some(vec![0; 64]), ..TestRun::default() };
    bpf.test_run(prog, &request).unwrap().retval
}

#[test]
fn groups_and_namespaces_are_linux_s() {
    same("the current group", |bpf| plain(bpf, &[(80, &[])]));
    for level in [0, 1, 2, 3, 9, -1] {
        same(&format!("its ancestor {level}"), |bpf| plain(bpf, &[(123, &[Num(level)])]));
    }
    let own = std::fs::metadata("/proc/self/ns/pid").unwrap();
    let (dev, ino) = (own.dev() as i64, own.ino() as i64);
    for (dev, ino, size) in [(dev, ino, 8), (dev, ino, 16), (dev, ino + 1, 8), (dev + 1, ino, 8)] {
        same(&format!("thread in {dev} {ino}, {size} bytes"), |bpf| {
            plain(bpf, &[(120, &[Num(dev), Num(ino), Stack(-96), Num(size)])])
        });
    }
    same("no such symbol", |bpf| plain(bpf, &[(179, &[Stack(-16), Num(8), Num(0), Stack(-96)])]));
    same("symbols have no flags", |bpf| {
        plain(bpf, &[(179, &[Stack(-16), Num(8), Num(1), Stack(-96)])])
    });
    same("one thread, one number", |bpf| {
        let insns = [
            call(35),
            mov_reg(6, 0),
            call(35),
            i(0x1f, 6, 0, 0, 0),
            // The upper half of addresses.
            i(0x77, 0, 0, 0, 63),
            i(0x0f, 0, 6, 0, 0),
            EXIT,
        ];
        let prog = sleepable(bpf, &insns);
        bpf.test_run(prog, &TestRun::default()).unwrap().retval
    });
}

#[test]
fn user_memory_that_is_not_there_is_a_fault() {
    for (size, addr) in [(8, 0), (16, 8), (0, 0)] {
        same(&format!("{size} bytes from {addr}"), |bpf| {
            let insns = [
                i(0x7a, 10, 0, -8, -1),
                i(0x7a, 10, 0, -16, -1),
                mov_reg(1, 10),
                add(1, -16),
                i(0xb7, 2, 0, 0, size),
                i(0xb7, 3, 0, 0, addr),
                call(148),
                i(0x79, 1, 10, -16, 0),
                i(0x0f, 0, 1, 0, 0),
                EXIT,
            ];
            let prog = sleepable(bpf, &insns);
            bpf.test_run(prog, &TestRun::default()).unwrap().retval
        });
    }
}

#[test]
fn cookies_and_branches_are_absent_as_on_linux() {
    same("raw tracepoint's cookie", |bpf| {
        let prog = load(bpf, ProgType::RawTracepoint, &[call(174), EXIT]);
        bpf.test_run(prog, &TestRun::default()).unwrap().retval
    });
    // Linux, too, has recorded none where no perf event asks for them.
    same("branches", |bpf| plain(bpf, &[(176, &[Stack(-96), Num(24), Num(0)])]));
}

#[test]
fn sockets_are_not_found_as_on_linux() {
    for helper in [84, 85, 99] {
        for (size, netns, flags) in [(12, -1, 0), (36, -1, 0), (7, -1, 0), (12, -1, 1), (12, 5, 0)]
        {
            same(&format!("helper {helper}, {size} {netns} {flags}"), |bpf| {
                let mut insns = vec![mov_reg(6, 1)];
                insns.extend((1..=6).map(|n| i(0x7a, 10, 0, -8 * n, 0)));
                insns.extend([mov_reg(1, 6), mov_reg(2, 10), add(2, -48)]);
                insns.extend([i(0xb7, 3, 0, 0, size), i(0xb7, 4, 0, 0, netns)]);
                insns.extend([i(0xb7, 5, 0, 0, flags), call(helper), i(0x55, 0, 0, 2, 0)]);
                insns.extend([i(0xb7, 0, 0, 0, 7), EXIT]);
                // With a socket: give it back.
                insns.push(mov_reg(7, 0));
                insns.extend([mov_reg(1, 7), call(86), i(0xb7, 0, 0, 0, 8), EXIT]);
                let prog = load(bpf, ProgType::SchedCls, &insns);
                let request = TestRun { data_in: Some(ipv4(0, 0)), ..TestRun::default() };
                bpf.test_run(prog, &request).unwrap().retval
            });
        }
    }
}

#[test]
fn dynamic_pointers_are_linux_s() {
    for (size, off, len, flags) in [
        (16, 0, 8, 0),
        (16, 8, 8, 0),
        (16, 9, 8, 0),
        (16, -1, 8, 0),
        (16, 1 << 32, 8, 0),
        (16, 0, 16, 1),
        (0, 0, 0, 0),
        (32, 30, 2, 0),
    ] {
        for make_flags in [0, 1] {
            if dynptr(&ours(), size, off, len, [flags, make_flags]).is_none() {
                eprintln!("skipped: the verifier does not model dynamic pointers");
                return;
            }
            same(&format!("dynptr of {size} at {off}, {len}, {flags} {make_flags}"), |bpf| {
                dynptr(bpf, size, off, len, [flags, make_flags])
            });
        }
    }
}

/// Writes into a map's value through a pointer, reads it back, and takes a slice of it.
fn dynptr(bpf: &dyn Bpf, size: i64, off: i64, len: i64, [flags, make]: [i64; 2]) -> Option<u32> {
    let map = bpf.map_create(&MapDef::new(MapType::Array, 4, 32, 1).into()).unwrap();
    let mut insns = vec![i(0x7a, 10, 0, -8, 0)];
    insns.extend((2..=12).map(|n| i(0x7a, 10, 0, -8 * n, 0x1020_3040 + i32::from(n))));
    insns.extend(ld_map(1, map));
    insns.extend([mov_reg(2, 10), add(2, -8), call(1), i(0x55, 0, 0, 1, 0), EXIT]);
    insns.extend([mov_reg(8, 0), mov_reg(1, 8)]);
    insns.extend([i(0xb7, 2, 0, 0, size as i32), i(0xb7, 3, 0, 0, make as i32)]);
    insns.extend([mov_reg(4, 10), add(4, -24), call(197), mov_reg(7, 0)]);
    let mix = |insns: &mut Vec<Insn>| insns.extend([i(0x27, 7, 0, 0, 31), i(0x0f, 7, 0, 0, 0)]);
    insns.extend([mov_reg(1, 10), add(1, -24)]);
    insns.extend(ld64(2, off as u64));
    insns.extend([mov_reg(3, 10), add(3, -64), i(0xb7, 4, 0, 0, len as i32)]);
    insns.extend([i(0xb7, 5, 0, 0, flags as i32), call(202)]);
    mix(&mut insns);
    insns.extend([mov_reg(1, 10), add(1, -96), i(0xb7, 2, 0, 0, len as i32)]);
    insns.extend([mov_reg(3, 10), add(3, -24)]);
    insns.extend(ld64(4, off as u64));
    insns.extend([i(0xb7, 5, 0, 0, flags as i32), call(201)]);
    mix(&mut insns);
    insns.extend([mov_reg(1, 10), add(1, -24)]);
    insns.extend(ld64(2, off as u64));
    insns.extend([i(0xb7, 3, 0, 0, 8), call(203), i(0x15, 0, 0, 1, 0), i(0x79, 0, 0, 0, 0)]);
    mix(&mut insns);
    for at in [-96, -88, -80] {
        insns.push(i(0x79, 0, 10, at, 0));
        mix(&mut insns);
    }
    insns.extend([mov_reg(0, 7), EXIT]);
    if matches!(try_sleepable(bpf, &insns), Err(why) if why.errno == Errno::EOPNOTSUPP) {
        return None;
    }
    let prog = sleepable(bpf, &insns);
    Some(bpf.test_run(prog, &TestRun::default()).unwrap().retval)
}
