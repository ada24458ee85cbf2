//! Tunnels, outer headers and SYN cookies, against the running Linux.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EXIT, add, call, i, load, mov, mov_reg, on_stack, same};
use isa::Insn;
use runtime::door::{Bpf, TestRun};
use uapi::ProgType;

fn packet(ethertype: u16) -> Vec<u8> {
    let mut packet = vec![0; 80];
    packet[12..14].copy_from_slice(&ethertype.to_be_bytes());
    packet[14] = if ethertype == 0x0800 { 0x45 } else { 0x60 };
    packet[14..].iter_mut().enumerate().skip(1).for_each(|(i, byte)| *byte = i as u8);
    packet
}

fn run(bpf: &dyn Bpf, t: ProgType, insns: &[Insn], ethertype: u16) -> (i32, Vec<u8>) {
    let prog = load(bpf, t, insns);
    let data_in = Some(packet(ethertype));
    let run = TestRun { data_in, data_out: Some(400), ..TestRun::default() };
    let out = bpf.test_run(prog, &run).unwrap();
    (out.retval as i32, out.data_out)
}

/// A tunnel key of 44 bytes, no two alike, with these flags' word and label.
fn tunnel_key(ext: u16, label: u32) -> Vec<u8> {
    let mut key: Vec<u8> = (1..=44).collect();
    key[22..24].copy_from_slice(&ext.to_ne_bytes());
    key[24..28].copy_from_slice(&label.to_ne_bytes());
    key
}

#[test]
fn tunnel_keys_are_set_and_read() {
    let keys = [tunnel_key(0, 0), tunnel_key(0, 0x1234_5678), tunnel_key(1, 0)];
    for key in &keys {
        for set in [0, 1, 2, 4 | 8, 16, 31, 32] {
            for size in [44, 28, 24, 22, 8, 40] {
                same(&format!("set_tunnel_key {key:?} {set} {size}"), |bpf| {
                    run(bpf, ProgType::SchedCls, &set_key(key, set, size, &[EXIT]), 0x0800).0
                });
            }
        }
    }
    for (set, set_size) in [(0, 44), (1, 44), (14, 44), (16, 28), (0, 8)] {
        for get in [0, 1, 16, 17, 2] {
            for size in [44, 28, 24, 22, 8, 40] {
                for part in (0..44).step_by(4).map(Some).chain([None]) {
                    let body = get_key(get, size, part);
                    same(&format!("tunnel key {set} {set_size}, {get} {size} {part:?}"), |bpf| {
                        let insns = set_key(&keys[0], set, set_size, &body);
                        run(bpf, ProgType::SchedCls, &insns, 0x0800).0
                    });
                }
            }
        }
    }
}

/// Sets a key, whose context stays in r6; r0 is the answer.
fn set_key(key: &[u8], flags: i32, size: i32, rest: &[Insn]) -> Vec<Insn> {
    let (bytes, at) = on_stack(key, 0);
    let mut insns = vec![mov_reg(6, 1)];
    insns.extend(bytes);
    insns.extend([mov_reg(1, 6), mov_reg(2, 10), add(2, at.into()), mov(3, size), mov(4, flags)]);
    insns.push(call(21));
    insns.extend(rest);
    insns
}

/// Reads the key over bytes of 0xff; the answer, or a word of what is there.
fn get_key(flags: i32, size: i32, part: Option<i16>) -> Vec<Insn> {
    let (mut insns, at) = on_stack(&[0xff; 48], -48);
    insns.extend([mov_reg(1, 6), mov_reg(2, 10), add(2, at.into()), mov(3, size), mov(4, flags)]);
    insns.push(call(20));
    insns.extend(part.map(|part| i(0x61, 0, 10, at + part, 0)));
    insns.push(EXIT);
    insns
}

#[test]
fn tunnel_options_are_set_and_read() {
    for (set, get) in [(8, 8), (8, 12), (8, 4), (7, 8), (16, 16)] {
        for part in [None, Some(0), Some(4), Some(8)] {
            for with_key in [false, true] {
                same(&format!("tunnel options {set} {get} {part:?} {with_key}"), |bpf| {
                    let (options, at) = on_stack(&(1..=16).collect::<Vec<u8>>(), -48);
                    let (space, to) = on_stack(&[0xff; 16], at);
                    let mut insns = if with_key {
                        set_key(&tunnel_key(0, 0), 0, 44, &[])
                    } else {
                        vec![mov_reg(6, 1)]
                    };
                    insns.extend(options);
                    insns.extend(space);
                    insns.extend([mov_reg(1, 6), mov_reg(2, 10), add(2, at.into()), mov(3, set)]);
                    insns.extend([call(30), mov_reg(7, 0), mov_reg(1, 6), mov_reg(2, 10)]);
                    insns.extend([add(2, to.into()), mov(3, get), call(29)]);
                    insns.extend([i(0x27, 7, 0, 0, 1000), i(0x0f, 0, 7, 0, 0)]);
                    insns.extend(part.map(|part| i(0x61, 0, 10, to + part, 0)));
                    insns.push(EXIT);
                    run(bpf, ProgType::SchedCls, &insns, 0x0800).0
                });
            }
        }
    }
}

#[test]
fn outer_headers_are_pushed() {
    let v4 = |ihl: u8, check: u8| {
        let mut header: Vec<u8> = (0..60).map(|i| i * 3).collect();
        (header[0], header[10], header[11]) = (0x40 | ihl, check, check);
        header
    };
    let mut v6: Vec<u8> = (0..60).collect();
    v6[0] = 0x60;
    let mut odd = v6.clone();
    odd[0] = 0x50;
    for header in [v4(5, 0), v4(5, 7), v4(6, 0), v4(15, 0), v6, odd] {
        for len in [19, 20, 24, 36, 40, 48] {
            for kind in [0, 2, 3] {
                for ethertype in [0x0800, 0x86dd] {
                    same(
                        &format!("push_encap {kind} {len} {:?} {ethertype:#x}", &header[..12]),
                        |bpf| {
                            let (bytes, at) = on_stack(&header, 0);
                            let mut insns = vec![mov_reg(6, 1)];
                            insns.extend(bytes);
                            insns.extend([mov_reg(1, 6), mov(2, kind), mov_reg(3, 10)]);
                            insns.extend([add(3, at.into()), mov(4, len), call(73), mov_reg(7, 0)]);
                            // The protocol and the length that the program sees.
                            insns.extend([i(0x61, 8, 6, 16, 0), i(0x61, 9, 6, 0, 0)]);
                            insns.extend([i(0x27, 8, 0, 0, 1000), i(0x0f, 9, 8, 0, 0)]);
                            insns.extend([i(0x55, 7, 0, 1, 0), mov_reg(7, 9), mov_reg(0, 7), EXIT]);
                            run(bpf, ProgType::LwtIn, &insns, ethertype)
                        },
                    );
                }
            }
        }
    }
}

/// TCP header of a SYN, with options.
fn syn(options: &[u8], offset: u8) -> Vec<u8> {
    let mut header =
        vec![0x30, 0x39, 0x00, 0x50, 1, 2, 3, 4, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0, 0, 0, 0];
    header.extend(options);
    header[12] = offset << 4;
    header
}

#[test]
fn syn_cookies_tell_the_segment_size() {
    let ip: Vec<u8> = (0..40).collect();
    for (options, offset) in [
        (vec![], 5),
        (vec![], 6),
        (vec![2, 4, 5, 0xb4], 6),
        (vec![1, 1, 1, 0], 6),
        (vec![2, 4, 0x02, 0x18], 6),
        (vec![2, 4, 0x02, 0x00], 6),
        (vec![2, 4, 0x05, 0x13], 6),
        (vec![2, 4, 0x05, 0x14], 6),
        (vec![2, 4, 0x05, 0x9f], 6),
        (vec![2, 4, 0x05, 0xa0], 6),
        (vec![2, 4, 0x05, 0x8c], 6),
        (vec![2, 4, 0xff, 0xff], 6),
        (vec![1, 2, 4, 0x05, 0xb4, 0, 0, 0], 7),
        (vec![8, 2, 2, 4, 0x04, 0xc4, 0, 0], 7),
    ] {
        let tcp = syn(&options, offset);
        for (generate, check) in [(204, 206), (205, 207)] {
            // The size, then the check of the answer to it, then that of a wrong one.
            for step in 0..3 {
                same(&format!("syn cookie {generate} {options:?} {offset} {step}"), |bpf| {
                    let (mut insns, ip_at) = on_stack(&ip, 0);
                    let (bytes, tcp_at) = on_stack(&tcp, ip_at);
                    insns.extend(bytes);
                    insns.extend([mov_reg(1, 10), add(1, ip_at.into()), mov_reg(2, 10)]);
                    insns.extend([add(2, tcp_at.into()), mov(3, tcp.len() as i32), call(generate)]);
                    insns.push(mov_reg(6, 0));
                    if step == 0 {
                        insns.extend([i(0x77, 0, 0, 0, 32), EXIT]);
                        return run(bpf, ProgType::Xdp, &insns, 0x0800).0;
                    }
                    // ack = cookie + 1, seq = seq + 1.
                    insns.extend([i(0x07, 6, 0, 0, step), i(0xdc, 6, 0, 0, 32)]);
                    insns.extend([i(0x63, 10, 6, tcp_at + 8, 0), i(0x72, 10, 0, tcp_at + 7, 5)]);
                    insns.extend([mov_reg(1, 10), add(1, ip_at.into()), mov_reg(2, 10)]);
                    insns.extend([add(2, tcp_at.into()), call(check), EXIT]);
                    run(bpf, ProgType::Xdp, &insns, 0x0800).0
                });
            }
        }
    }
}
