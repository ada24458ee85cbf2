//! What hooks lend to programs: sockets, settings, messages. The expected values are Linux's
//! documented ones, by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::sync::Arc;

use common::{EXIT, add, call, i, mov, mov_reg, on_stack, ours, request};
use isa::Insn;
use runtime::door::Bpf;
use runtime::{Message, Runner, Segment, Socket, SocketInfo, SocketWorld, Sysctl, World};
use uapi::{Errno, ProgType};

/// A program of this type, accepted by the verifier.
fn program(prog_type: ProgType, attach_type: u32, insns: &[Insn]) -> Runner {
    let bpf = ours();
    let load = runtime::ProgLoad { expected_attach_type: attach_type, ..request(prog_type, insns) };
    match bpf.prog_load(&load) {
        Ok(loaded) => bpf.runner(loaded.fd).unwrap(),
        Err(error) => panic!("{error}\n{}", error.log),
    }
}

fn errno(errno: Errno) -> u64 {
    errno.as_ret()
}

/// `helper(ctx, buffer of 16 bytes, size, flags)`, then 4 bytes of the buffer at `at`.
fn sysctl(helper: i32, size: i32, flags: i32, at: Option<i16>, lent: &Sysctl) -> u64 {
    let mut insns = vec![i(0x7a, 10, 0, -16, -1), i(0x7a, 10, 0, -8, -1), mov_reg(2, 10)];
    insns.extend([add(2, -16), mov(3, size), mov(4, flags), call(helper)]);
    if let Some(at) = at {
        insns.push(i(0x61, 6, 10, -16 + at, 0));
    }
    // r0 of a sysctl program is its verdict: what is looked at goes into the context's position.
    insns.insert(0, mov_reg(9, 1));
    let shown = if at.is_some() { 6 } else { 0 };
    insns.extend([mov_reg(1, shown), i(0x63, 9, 1, 4, 0), mov(0, 1), EXIT]);
    let mut ctx = [0; 8];
    let world = World { sysctl: Some(lent), ..World::default() };
    let mut runner = program(ProgType::CgroupSysctl, 18, &insns);
    assert_eq!(runner.run_context(&mut ctx, None, world), Ok(1));
    i64::from(i32::from_ne_bytes([ctx[4], ctx[5], ctx[6], ctx[7]])) as u64
}

#[test]
fn settings_are_copied_as_far_as_they_fit() {
    let lent = Sysctl {
        name: "net/ipv4/tcp_mem".into(),
        current: b"1 2 3\n".to_vec(),
        ..Sysctl::default()
    };
    let word = |text: &[u8; 4]| u64::from(u32::from_ne_bytes(*text));
    assert_eq!(sysctl(101, 16, 1, None, &lent), 7);
    assert_eq!(sysctl(101, 16, 1, Some(4), &lent), word(b"mem\0"));
    // Sixteen characters need seventeen bytes.
    assert_eq!(sysctl(101, 16, 0, None, &lent), errno(Errno::E2BIG));
    assert_eq!(sysctl(101, 16, 0, Some(12), &lent), word(b"_me\0"));
    assert_eq!(sysctl(102, 16, 0, None, &lent), 6);
    assert_eq!(sysctl(102, 16, 0, Some(4), &lent), word(b"3\n\0\0"));
    assert_eq!(sysctl(102, 4, 0, None, &lent), errno(Errno::E2BIG));
    assert_eq!(sysctl(102, 4, 0, Some(0), &lent), word(b"1 2\0"));
    // A read has no new value, and none can be set.
    assert_eq!(sysctl(103, 16, 0, None, &lent), errno(Errno::EINVAL));
    assert_eq!(sysctl(103, 16, 0, Some(8), &lent), 0);
    assert_eq!(sysctl(104, 3, 0, None, &lent), errno(Errno::EINVAL));
    let written = Sysctl { new: RefCell::new(Some(b"9\n".to_vec())), ..lent };
    assert_eq!(sysctl(103, 16, 0, None, &written), 2);
    assert!(!written.replaced.get());
    assert_eq!(sysctl(104, 3, 0, None, &written), 0);
    assert!(written.replaced.get());
    assert_eq!(*written.new.borrow(), Some(vec![0xff; 3]));
}

const SOCK_ADDR: usize = 72;

/// Runs a program of connect(2) on the socket; what it left in the address's IPv4 field.
fn connect(socket: &Arc<Socket>, body: &[Insn]) -> u32 {
    let mut insns = vec![mov_reg(9, 1)];
    insns.extend_from_slice(body);
    insns.extend([i(0x63, 9, 0, 4, 0), mov(0, 1), EXIT]);
    let mut ctx = [0; SOCK_ADDR];
    ctx[64..].copy_from_slice(&socket.addr().to_ne_bytes());
    let world = World { socket: Some(socket), ..World::default() };
    let mut runner = program(ProgType::CgroupSockAddr, 10, &insns);
    assert_eq!(runner.run_context(&mut ctx, None, world), Ok(1));
    u32::from_ne_bytes([ctx[4], ctx[5], ctx[6], ctx[7]])
}

fn option(helper: i32, level: i32, name: i32, value: i32, len: i32) -> Vec<Insn> {
    let mut insns = vec![i(0x7a, 10, 0, -8, value), mov_reg(1, 9), mov(2, level), mov(3, name)];
    insns.extend([mov_reg(4, 10), add(4, -8), mov(5, len), call(helper)]);
    insns
}

fn stream(family: u32) -> SocketInfo {
    SocketInfo { family, kind: 1, protocol: 6, ..SocketInfo::default() }
}

#[test]
fn options_of_sockets() {
    let socket = Socket::new(stream(2), None).unwrap();
    let set =
        |level, name, value, len| connect(&socket, &option(49, level, name, value, len)) as i32;
    let get = |level, name| {
        let mut insns = option(57, level, name, -1, 4);
        insns.push(i(0x61, 0, 10, -8, 0));
        connect(&socket, &insns)
    };
    assert_eq!(set(1, 36, 77, 4), 0);
    assert_eq!(get(1, 36), 77);
    // The mark is a field of the socket, too.
    assert_eq!(socket.bytes()[16..20], 77_u32.to_ne_bytes());
    // Linux doubles what is asked for, within its bounds.
    assert_eq!((set(1, 7, 10_000, 4), get(1, 7)), (0, 20_000));
    assert_eq!((set(1, 7, 1, 4), get(1, 7)), (0, 4608));
    assert_eq!((set(1, 8, i32::MAX, 4), get(1, 8)), (0, 425_984));
    assert_eq!((set(6, 1, 1, 4), get(6, 1)), (0, 1));
    // A wrong size, options that programs may not touch, another family.
    assert_eq!(set(1, 36, 77, 8), -22);
    assert_eq!(set(1, 6, 1, 4), -22);
    assert_eq!(set(6, 1, 1, 2), -22);
    assert_eq!(set(41, 67, 1, 4), -22);
    assert_eq!(set(99, 1, 1, 4), -22);
    // What cannot be read is zero.
    assert_eq!(get(41, 67), 0);
    assert_eq!((set(6, 1008, 0x41, 4), socket.callbacks()), (0, 0x41));
    assert_eq!((set(6, 1008, 0x80, 4), socket.callbacks()), (-22, 0x41));
}

struct Real;

impl SocketWorld for Real {
    fn option(&self, level: i32, name: i32, out: &mut [u8]) -> Result<usize, Errno> {
        assert_eq!((level, name), (6, 1));
        out[..2].copy_from_slice(&[3, 4]);
        Ok(2)
    }

    fn set_option(&self, _: i32, _: i32, value: &[u8]) -> Result<(), Errno> {
        if value == [5, 0, 0, 0] { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn bind(&self, address: &[u8]) -> Result<(), Errno> {
        if address[4..8] == [127, 0, 0, 9] { Ok(()) } else { Err(Errno::EADDRINUSE) }
    }

    fn cookie(&self) -> Option<u64> {
        Some(4711)
    }
}

#[test]
fn a_real_socket_answers_in_place_of_the_table() {
    let socket = Socket::new(stream(2), Some(Box::new(Real))).unwrap();
    let mut insns = option(57, 6, 1, -1, 4);
    insns.push(i(0x61, 0, 10, -8, 0));
    assert_eq!(connect(&socket, &insns), 0x0403);
    assert_eq!(connect(&socket, &option(49, 6, 1, 5, 4)), 0);
    assert_eq!(connect(&socket, &option(49, 6, 1, 6, 4)) as i32, -1);
    assert_eq!(connect(&socket, &[call(46)]), 4711);
    // The context's pointer leads to the fields.
    let family = [i(0x79, 1, 1, 64, 0), i(0x61, 0, 1, 4, 0)];
    assert_eq!(connect(&socket, &family), 2);
    let bind = |family: u16, last: u8, len: i32| {
        let [low, high] = family.to_ne_bytes();
        let mut address = [0; 24];
        address[..8].copy_from_slice(&[low, high, 0, 0, 127, 0, 0, last]);
        let (mut insns, at) = on_stack(&address, 0);
        insns.extend([mov_reg(1, 9), mov_reg(2, 10), add(2, at.into()), mov(3, len), call(64)]);
        connect(&socket, &insns) as i32
    };
    assert_eq!(bind(2, 9, 16), 0);
    assert_eq!(bind(2, 8, 16), -98);
    assert_eq!(bind(2, 9, 15), -22);
    assert_eq!(bind(10, 9, 16), -22);
    assert_eq!(bind(1, 9, 16), -97);
}

const SK_MSG: usize = 80;

fn send(message: &Message, body: &[Insn]) -> u64 {
    let mut insns = vec![mov_reg(9, 1)];
    insns.extend_from_slice(body);
    insns.push(EXIT);
    let mut ctx = [0; SK_MSG];
    let (data, end) = message.data();
    ctx[..8].copy_from_slice(&data.to_ne_bytes());
    ctx[8..16].copy_from_slice(&end.to_ne_bytes());
    let world = World { message: Some(message), ..World::default() };
    let ret = program(ProgType::SkMsg, 7, &insns).run_context(&mut ctx, None, world).unwrap();
    assert_eq!(ctx[..8], message.data().0.to_ne_bytes());
    ret
}

fn on_message(helper: i32, a: i32, b: i32, flags: i32) -> [Insn; 5] {
    [mov_reg(1, 9), mov(2, a), mov(3, b), mov(4, flags), call(helper)]
}

#[test]
fn messages_grow_and_shrink() {
    let message = Message::new(b"abcdef").unwrap();
    let first = [i(0x79, 2, 9, 0, 0), i(0x79, 3, 9, 8, 0), mov_reg(4, 2), add(4, 2)];
    let load = [mov(0, -1), i(0x2d, 4, 3, 1, 0), i(0x69, 0, 2, 0, 0)];
    let shown = |helper, a, b| {
        let mut insns = on_message(helper, a, b, 0).to_vec();
        insns.extend(first);
        insns.extend(load);
        send(&message, &insns)
    };
    let pair = |a: u8, b: u8| u64::from(u16::from_ne_bytes([a, b]));
    assert_eq!(shown(63, 2, 5), pair(b'c', b'd'));
    assert_eq!(send(&message, &on_message(63, 2, 7, 0)), errno(Errno::EINVAL));
    assert_eq!(send(&message, &on_message(63, 2, 2, 0)), errno(Errno::EINVAL));
    assert_eq!(shown(90, 1, 2), pair(b'a', 0));
    assert_eq!(message.to_vec(), b"a\0\0bcdef");
    assert_eq!(send(&message, &on_message(90, 9, 2, 0)), errno(Errno::EINVAL));
    assert_eq!(send(&message, &on_message(90, 1, 2, 1)), errno(Errno::EINVAL));
    assert_eq!(send(&message, &on_message(90, 0, i32::MAX, 0)), errno(Errno::ENOMEM));
    assert_eq!(shown(91, 0, 3), pair(b'b', b'c'));
    assert_eq!(message.to_vec(), b"bcdef");
    assert_eq!(send(&message, &on_message(91, 3, 3, 0)), errno(Errno::EINVAL));
    assert_eq!(
        send(
            &message,
            &on_message(61, 4, 0, 0)[..2].iter().copied().chain([call(61)]).collect::<Vec<_>>()
        ),
        0
    );
    assert_eq!(message.apply_bytes(), 4);
}

/// A program of sock_ops in callback `op`; r0 goes out through `reply`.
fn ops(op: u32, segment: &Segment, body: &[Insn]) -> i32 {
    let mut insns = vec![mov_reg(9, 1)];
    insns.extend_from_slice(body);
    insns.extend([i(0x63, 9, 0, 4, 0), mov(0, 1), EXIT]);
    let mut ctx = [0; 216];
    ctx[..4].copy_from_slice(&op.to_ne_bytes());
    let world = World { segment: Some(segment), ..World::default() };
    let mut runner = program(ProgType::SockOps, 3, &insns);
    assert_eq!(runner.run_context(&mut ctx, None, world), Ok(1));
    i32::from_ne_bytes([ctx[4], ctx[5], ctx[6], ctx[7]])
}

/// `helper(ctx, bytes, len, flags)`.
fn with_bytes(helper: i32, bytes: &[u8], flags: i32) -> Vec<Insn> {
    let (mut insns, at) = on_stack(bytes, 0);
    insns.extend([mov_reg(1, 9), mov_reg(2, 10), add(2, at.into())]);
    insns.extend([mov(3, bytes.len() as i32), mov(4, flags), call(helper)]);
    insns
}

#[test]
fn options_of_tcp_headers() {
    let segment = Segment { options: RefCell::new(vec![1, 1, 3, 3, 7]), ..Segment::default() };
    segment.room.set(10);
    const LEN: u32 = 14;
    const WRITE: u32 = 15;
    let reserve = |op, len| ops(op, &segment, &[mov(2, len), mov(3, 0), call(144)]);
    assert_eq!(reserve(WRITE, 4), -1);
    assert_eq!(reserve(LEN, 1), -22);
    assert_eq!(reserve(LEN, 11), -28);
    assert_eq!((reserve(LEN, 4), segment.room.get()), (0, 6));
    let store = |op, bytes: &[u8]| ops(op, &segment, &with_bytes(143, bytes, 0));
    assert_eq!(store(LEN, &[77, 3, 9]), -1);
    assert_eq!(store(WRITE, &[77, 3, 9]), 0);
    assert_eq!(store(WRITE, &[77, 3, 8]), -17);
    assert_eq!(store(WRITE, &[1, 2]), -22);
    assert_eq!(store(WRITE, &[254, 4, 1, 2]), -28);
    assert_eq!(*segment.options.borrow(), [1, 1, 3, 3, 7, 77, 3, 9]);
    let load = |bytes: &[u8]| ops(5, &segment, &with_bytes(142, bytes, 0));
    assert_eq!(load(&[77, 0, 0, 0]), 3);
    assert_eq!(load(&[77, 0]), -28);
    assert_eq!(load(&[78, 0, 0]), -42);
    assert_eq!(load(&[254, 3, 0]), -22);
}
