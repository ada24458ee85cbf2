//! `ld_abs` and `ld_ind` against the running kernel, and by hand.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Buffers, asm::*, kernel, translated};
use isa::Insn;
use translate::ctx::SkBuff;
use uapi::ProgType;
use verifier::Facts;

const NET: i32 = -0x10_0000;
const LL: i32 = -0x20_0000;
const PACKET: usize = 64;
const ETHERNET: u64 = 14;

fn packet() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..PACKET as u8).map(|i| i.wrapping_mul(37) ^ 0xa5).collect();
    // An experimental EtherType: Linux looks no further.
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
    bytes
}

/// r6 = ctx; r0 = -1; load; exit. `indirect`: the offset in r7, less 5 in the immediate.
fn program(size: u8, offset: i32, indirect: bool) -> Vec<Insn> {
    let mut out = vec![mov_reg(6, 1), mov(7, offset.wrapping_sub(5)), mov(0, -1)];
    out.push(match indirect {
        true => Insn::new(0x40 | size, 0, 7, 0, 5),
        false => Insn::new(0x20 | size, 0, 0, 0, offset),
    });
    out.push(EXIT);
    out
}

fn ours(insns: &[Insn], prog_type: ProgType) -> u64 {
    let mut bytes = packet();
    let mut ctx = SkBuff::default();
    let at = bytes.as_mut_ptr().expose_provenance() as u64;
    ctx.mac_header = at;
    ctx.network_header = at + ETHERNET;
    ctx.data = if prog_type == ProgType::SocketFilter { ctx.network_header } else { at };
    ctx.data_end = at + PACKET as u64;
    let program = translated(insns, &Facts::default(), prog_type).unwrap();
    Buffers::new(&mut ctx, &mut bytes).run(&program).unwrap()
}

fn offsets() -> Vec<i32> {
    let near =
        [0, 1, 12, 36, 45, 46, 47, 48, 49, 50, 51, 59, 60, 61, 62, 63, 64, 65, 1000, i32::MAX];
    let bases = near.iter().flat_map(|n| [*n, NET.saturating_add(*n), LL.saturating_add(*n)]);
    bases.chain([-1, -2, NET - 1, LL - 1, i32::MIN]).collect()
}

#[test]
fn packet_loads_follow_the_running_kernel() {
    if !kernel::available() {
        return;
    }
    let mut refused = 0;
    for (prog_type, number) in [(ProgType::SocketFilter, 1), (ProgType::SchedCls, 3)] {
        for size in [0x00, 0x08, 0x10] {
            for (offset, indirect) in offsets().into_iter().flat_map(|o| [(o, false), (o, true)]) {
                let insns = program(size, offset, indirect);
                let Ok(loaded) = kernel::load(number, 0, &insns) else {
                    refused += 1;
                    continue;
                };
                let (want, _) = loaded.run_packet(&packet()).unwrap();
                let what = format!("{prog_type:?} size {size:#x} offset {offset:#x} {indirect}");
                assert_eq!(ours(&insns, prog_type), u64::from(want), "{what}");
            }
        }
    }
    assert!(refused < 60, "{refused} programs refused");
}

#[test]
fn bytes_come_in_network_order_and_the_end_is_an_exit() {
    let bytes = packet();
    let at = |size, offset| ours(&program(size, offset, false), ProgType::SchedCls);
    assert_eq!(at(0x08, 12), 0x88b5);
    assert_eq!(at(0x10, 63), u64::from(bytes[63]));
    assert_eq!(
        at(0x00, 60),
        u64::from(u32::from_be_bytes([bytes[60], bytes[61], bytes[62], bytes[63]]))
    );
    assert_eq!(at(0x00, 61), 0);
    assert_eq!(at(0x10, LL), u64::from(bytes[0]));
    assert_eq!(at(0x10, NET + 1), u64::from(bytes[15]));
}

#[test]
fn packet_loads_need_a_socket_buffer() {
    let result = translated(&program(0, 0, false), &Facts::default(), ProgType::Xdp);
    assert_eq!(result, Err(translate::TranslateError::PacketLoad { insn: 3 }));
}
