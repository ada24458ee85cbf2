//! `ld_abs` and `ld_ind`: packet bytes in host order, or the end of the program.
//!
//! Linux does these with an inlined fast path and a helper; packets are linear here, so plain
//! instructions do. r6 is the context; r1 to r5 are free, since the verifier forgets them.

use std::mem::offset_of;

use isa::{Insn, Reg, Size};

use crate::{
    ctx::SkBuff,
    operand::{
        B, DW, EXIT, H, W, add32, add64, add64_reg, ja, jgt, jsge32, load, mov32, mov32_reg,
        mov64_reg, to_be,
    },
};

/// Offsets from here up to -1 count from the network header.
const SKF_NET_OFF: i32 = -0x10_0000;
/// Offsets from here up to `SKF_NET_OFF` count from the Ethernet header.
const SKF_LL_OFF: i32 = -0x20_0000;

const BASE: u8 = 1;
const OFFSET: u8 = 2;
const LIMIT: u8 = 3;
const AFTER: u8 = 4;
const CTX: u8 = 6;

/// The expansion of a load of `size` bytes at `imm`, plus `src` for `ld_ind`.
pub(crate) fn packet_load(size: Size, src: Option<Reg>, imm: i32) -> Vec<Insn> {
    let mut out = match src {
        Some(Reg(src)) => vec![mov32_reg(OFFSET, src), add32(OFFSET, imm)],
        None => vec![mov32(OFFSET, imm)],
    };
    let check = checked_load(size);
    out.push(field(BASE, offset_of!(SkBuff, data)));
    if src.is_some() || imm < 0 {
        // The failing end of the check: its last two slots.
        out.extend(negative_offsets(check.len() as i16 - 2));
    }
    out.extend(check);
    out
}

/// Picks the base of a negative offset; falls through to the check, whose slot `failure` ends the
/// program.
fn negative_offsets(failure: i16) -> [Insn; 9] {
    [
        jsge32(OFFSET, 0, 8),
        jsge32(OFFSET, SKF_NET_OFF, 5),
        jsge32(OFFSET, SKF_LL_OFF, 1),
        ja(5 + failure),
        field(BASE, offset_of!(SkBuff, mac_header)),
        add32(OFFSET, -SKF_LL_OFF),
        ja(2),
        field(BASE, offset_of!(SkBuff, network_header)),
        add32(OFFSET, -SKF_NET_OFF),
    ]
}

/// r0 = the bytes at BASE + OFFSET, both known; exits with 0 where the packet ends before.
fn checked_load(size: Size) -> Vec<Insn> {
    let (code, bits) = match size {
        Size::B => (B, 8),
        Size::H => (H, 16),
        Size::W => (W, 32),
        Size::DW => (DW, 64),
    };
    let mut out = vec![
        field(LIMIT, offset_of!(SkBuff, data_end)),
        add64_reg(BASE, OFFSET),
        mov64_reg(AFTER, BASE),
        add64(AFTER, size.bytes() as i32),
    ];
    let mut load_it = vec![load(code, 0, BASE, 0)];
    if bits > 8 {
        load_it.push(to_be(0, bits));
    }
    load_it.push(ja(2));
    out.push(jgt(AFTER, LIMIT, load_it.len() as i16));
    out.extend(load_it);
    out.extend([mov32(0, 0), EXIT]);
    out
}

fn field(dst: u8, off: usize) -> Insn {
    load(DW, dst, CTX, off as i16)
}
