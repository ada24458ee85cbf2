//! The conversions of bpf_snprintf, against the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, agree, call, i, ld_map, load, mov, mov_reg, on_stack, same};
use runtime::door::{Bpf, Fd, TestRun};
use uapi::{MapDef, MapType, ProgType, map_flags};

/// A one-element array with `value` in it, frozen and read-only if `constant`.
fn array(bpf: &dyn Bpf, value: &[u8], constant: bool) -> Fd {
    let mut def = MapDef::new(MapType::Array, 4, value.len() as u32, 1);
    if constant {
        def.flags = map_flags::RDONLY_PROG;
    }
    let map = bpf.map_create(&def.into()).unwrap();
    bpf.map_update(map, &[0; 4], value, 0).unwrap();
    if constant {
        bpf.map_freeze(map).unwrap();
    }
    map
}

/// Loads the address of a map's value.
fn ld_value(dst: u8, map: Fd, off: i32) -> [isa::Insn; 2] {
    [i(0x18, dst, 2, 0, map.0), i(0, 0, 0, 0, off)]
}

/// What bpf_snprintf returned and wrote; the load error where the format is refused.
fn snprintf(bpf: &dyn Bpf, fmt: &str, args: &[u64], room: u32) -> Result<(i32, Vec<u8>), String> {
    let mut text = fmt.as_bytes().to_vec();
    text.push(0);
    let fmt = array(bpf, &text, true);
    let out = array(bpf, &[0xaa; 64], false);
    let bytes: Vec<u8> = args.iter().flat_map(|a| a.to_le_bytes()).collect();
    let (mut insns, at) = on_stack(&bytes, 0);
    insns.extend(ld_value(1, out, 0));
    insns.push(mov(2, room as i32));
    insns.extend(ld_value(3, fmt, 0));
    insns.extend([mov_reg(4, 10), add(4, at.into()), mov(5, bytes.len() as i32)]);
    if args.is_empty() {
        insns.push(mov(4, 0));
    }
    insns.extend([call(165), EXIT]);
    let request = common::request(ProgType::Xdp, &insns);
    let prog = bpf.prog_load(&request).map_err(|e| e.errno.to_string())?.fd;
    let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
    let ret = bpf.test_run(prog, &run).unwrap().retval as i32;
    let mut value = vec![0; 64];
    bpf.map_lookup(out, &[0; 4], &mut value, 0).unwrap();
    // Linux finds a bad constant format when it verifies.
    if ret == -22 { Err("EINVAL".into()) } else { Ok((ret, value)) }
}

#[test]
fn numbers_print_as_on_linux() {
    const VALUES: [u64; 6] = [0, 7, 42, u64::MAX, 0x8000_0000, 0x1234_5678_9abc_def0];
    for kind in ["d", "i", "u", "x", "X", "ld", "lu", "lx", "lX", "lld", "lli", "llu", "llx", "c"] {
        for flags in ["", "5", "-5", "05", "+", " ", "+5", "-05", "0-7", "+08", "12", "-20"] {
            for value in VALUES {
                let fmt = format!("<%{flags}{kind}>");
                same(&format!("{fmt} of {value:#x}"), |bpf| snprintf(bpf, &fmt, &[value], 64));
            }
        }
    }
}

#[test]
fn texts_and_addresses_print_as_on_linux() {
    let formats = [
        "plain",
        "100%%",
        "%%d",
        "%px",
        "[%px]",
        "%20px",
        "%-20px|",
        "%p",
        "%10p|",
        "%d %u %x %c",
        "%d%d",
        "%",
        "%q",
        "%5",
        "%l",
        "%lld%%",
        "%.3d",
        "%#x",
        "%*d",
        "%n",
        "%f",
        "%hd",
        "%llx.",
        "%pI4",
        "%pi4",
        "%pI6",
        "%pi6",
        "%pI5",
        "%pM",
        "%pB.",
        "%ps!",
        "%pK",
        "%pks",
        "%pus",
        "%cx",
        "%sx",
        "%s",
        "a\tb\n%d",
        "\u{e9}%d",
        "\u{20ac}%d",
        "\u{1}%d",
        "%\u{e9}",
        "%d\u{1}%d",
        "%s\u{e9}",
        "\u{7f}",
        "%lx %lX %llX",
        "%i,%d;%u",
        "%3c|%-3c|",
        "%08llx",
        "%pZ",
    ];
    for fmt in formats {
        // Hashes of addresses differ from boot to boot.
        let hashed = fmt.contains("%p") && !fmt.contains("px") || fmt.contains("%10p");
        for args in [&[0u64; 4][..], &[], &[1, 2], &[0; 12]] {
            if hashed && args.first().is_some_and(|a| *a != 0) {
                continue;
            }
            // Fewer, as many, and more arguments than conversions.
            same(&format!("{fmt:?} with {} arguments", args.len()), |bpf| {
                snprintf(bpf, fmt, args, 64)
            });
        }
    }
}

#[test]
fn short_room_cuts_as_on_linux() {
    for room in 0..12 {
        same(&format!("room of {room}"), |bpf| snprintf(bpf, "%d-%x", &[12345, 0xabc], room));
    }
}

#[test]
fn strings_and_ip_addresses_come_from_memory() {
    let stack = b"\x01\x02\x03\xfehello\0\0\0\x00\x11\x22\x33";
    let formats = ["<%s>", "<%10s>", "<%-10s>", "<%2s>", "<%pI4>", "<%pi4>", "<%20pI4>", "<%pI6>"];
    for fmt in formats.iter().chain(&["<%pi6>", "<%9pks>", "<%pI4c>"]) {
        for off in [0, 4, 9] {
            same(&format!("{fmt} at {off}"), |bpf| {
                let mut text = fmt.as_bytes().to_vec();
                text.push(0);
                let fmt = array(bpf, &text, true);
                let out = array(bpf, &[0xaa; 64], false);
                let data = array(bpf, &[&stack[..], &[0; 32]].concat(), false);
                // The argument array holds a pointer to the data.
                let mut insns = Vec::from(ld_value(1, data, off));
                insns.push(i(0x7b, 10, 1, -8, 0));
                insns.extend(ld_value(1, out, 0));
                insns.push(mov(2, 64));
                insns.extend(ld_value(3, fmt, 0));
                insns.extend([mov_reg(4, 10), add(4, -8), mov(5, 8), call(165), EXIT]);
                let prog = load(bpf, ProgType::Xdp, &insns);
                let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
                let ret = bpf.test_run(prog, &run).unwrap().retval;
                let mut value = vec![0; 64];
                bpf.map_lookup(out, &[0; 4], &mut value, 0).unwrap();
                (ret, value)
            });
        }
    }
}

#[test]
fn map_loads_still_work_beside_values() {
    // A lookup through a map pointer finds what the direct address shows.
    let ret = agree("lookup", |bpf| {
        let map = array(bpf, &7u64.to_le_bytes(), false);
        let mut insns = vec![i(0x62, 10, 0, -4, 0), mov_reg(2, 10), add(2, -4)];
        insns.extend(ld_map(1, map));
        insns.extend([call(1), i(0x15, 0, 0, 1, 0), i(0x79, 0, 0, 0, 0), EXIT]);
        let prog = load(bpf, ProgType::Xdp, &insns);
        let run = TestRun { data_in: Some(vec![0; 64]), ..TestRun::default() };
        bpf.test_run(prog, &run).unwrap().retval
    });
    assert_eq!(ret, 7);
}
