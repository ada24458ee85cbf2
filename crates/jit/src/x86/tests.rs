//! The encoder against an independent decoder: every form with every register and address shape.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::{Arith, Asm, Cc, Rm, Shift, Unary};
use crate::host::{Host, Mem, W};

/// An operand as we mean it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    /// A register of so many bits.
    Reg(Host, u32),
    Mem(Mem),
    Imm(i64),
}

fn hosts() -> impl Iterator<Item = Host> {
    (0..16).map(Host)
}

fn register(h: Host, bits: u32) -> Register {
    let base = match bits {
        8 => return low_byte(h),
        16 => Register::AX,
        32 => Register::EAX,
        _ => Register::RAX,
    };
    base + u32::from(h.0)
}

fn low_byte(h: Host) -> Register {
    match h.0 {
        0..=3 => Register::AL + u32::from(h.0),
        // After BL come the high bytes.
        _ => Register::SPL + u32::from(h.0 - 4),
    }
}

fn mems() -> Vec<Mem> {
    let mut out = Vec::new();
    for base in hosts() {
        for disp in [0, 1, -128, 127, 128, i32::MIN] {
            out.push(Mem::at(base, disp));
            for index in hosts().filter(|h| *h != Host::RSP) {
                let scale = (base.0 + index.0) & 3;
                out.push(Mem { base: Some(base), index: Some(index), scale, disp });
            }
        }
    }
    for index in hosts().filter(|h| *h != Host::RSP) {
        out.push(Mem { base: None, index: Some(index), scale: 3, disp: 77 });
    }
    out
}

fn operand(instruction: &Instruction, i: u32) -> Option<(Register, Option<Mem>, i64)> {
    let full = |r: Register| (r != Register::None).then(|| Host(r.number() as u8));
    match instruction.op_kind(i) {
        OpKind::Register => Some((instruction.op_register(i), None, 0)),
        OpKind::Memory => {
            let mem = Mem {
                base: full(instruction.memory_base()),
                index: full(instruction.memory_index()),
                scale: instruction.memory_index_scale().trailing_zeros() as u8,
                disp: instruction.memory_displacement64() as i32,
            };
            Some((Register::None, Some(mem), 0))
        }
        _ => Some((Register::None, None, instruction.immediate(i) as i64)),
    }
}

fn check(write: impl Fn(&mut Asm), mnemonic: Mnemonic, wants: &[Want]) {
    let mut asm = Asm::default();
    write(&mut asm);
    let mut decoder = Decoder::with_ip(64, asm.bytes(), 0, DecoderOptions::NONE);
    let found = decoder.decode();
    let context = format!("{:02x?}: {found} for {mnemonic:?} {wants:?}", asm.bytes());
    assert_eq!(found.len(), asm.len(), "{context}");
    assert_ne!(found.code(), Code::INVALID, "{context}");
    assert_eq!(found.mnemonic(), mnemonic, "{context}");
    for (i, want) in wants.iter().enumerate() {
        let (reg, mem, imm) = operand(&found, i as u32).expect("an operand");
        let same = match *want {
            Want::Reg(h, bits) => reg == register(h, bits),
            Want::Mem(m) => mem == Some(m),
            // 32-bit immediates come without their sign.
            Want::Imm(k) => mem.is_none() && (imm == k || imm == i64::from(k as u32)),
        };
        assert!(same, "operand {i} of {context}");
    }
}

const WIDTHS: [W; 2] = [W::W32, W::W64];

fn pairs() -> impl Iterator<Item = (W, Host, Host)> {
    WIDTHS.into_iter().flat_map(|w| hosts().flat_map(move |a| hosts().map(move |b| (w, a, b))))
}

#[test]
fn register_forms() {
    for (w, a, b) in pairs() {
        let (ra, rb) = (Want::Reg(a, w.bits()), Want::Reg(b, w.bits()));
        check(|x| x.mov(w, a, b), Mnemonic::Mov, &[ra, rb]);
        check(|x| x.imul(w, a, b), Mnemonic::Imul, &[ra, rb]);
        check(|x| x.test(w, a, b), Mnemonic::Test, &[ra, rb]);
        check(|x| x.popcnt(w, a, b), Mnemonic::Popcnt, &[ra, rb]);
        check(|x| x.rorx(w, a, b, 7), Mnemonic::Rorx, &[ra, rb, Want::Imm(7)]);
        for imm in [1, -1, 127, 128, i32::MIN] {
            let wants = [ra, rb, Want::Imm(imm.into())];
            check(|x| x.imul_imm(w, a, b, imm), Mnemonic::Imul, &wants);
        }
        for (op, mnemonic) in ARITH {
            check(|x| x.arith(w, op, a, Rm::Reg(b)), mnemonic, &[ra, rb]);
        }
        let c = Host((a.0 * 7 + b.0 * 3) & 15);
        for (op, mnemonic) in [
            (Shift::Shl, Mnemonic::Shlx),
            (Shift::Shr, Mnemonic::Shrx),
            (Shift::Sar, Mnemonic::Sarx),
        ] {
            let wants = [ra, rb, Want::Reg(c, w.bits())];
            check(|x| x.shift_x(w, op, a, b, c), mnemonic, &wants);
        }
        for (bits, signed, mnemonic) in [
            (8, false, Mnemonic::Movzx),
            (16, false, Mnemonic::Movzx),
            (8, true, Mnemonic::Movsx),
            (16, true, Mnemonic::Movsx),
            (32, true, Mnemonic::Movsxd),
        ] {
            let to = if !signed {
                32
            } else if bits == 32 {
                64
            } else {
                w.bits()
            };
            let wants = [Want::Reg(a, to), Want::Reg(b, bits)];
            check(|x| x.extend(w, bits, signed, a, Rm::Reg(b)), mnemonic, &wants);
        }
    }
}

const ARITH: [(Arith, Mnemonic); 6] = [
    (Arith::Add, Mnemonic::Add),
    (Arith::Or, Mnemonic::Or),
    (Arith::And, Mnemonic::And),
    (Arith::Sub, Mnemonic::Sub),
    (Arith::Xor, Mnemonic::Xor),
    (Arith::Cmp, Mnemonic::Cmp),
];

#[test]
fn forms_of_one_register() {
    for w in WIDTHS {
        for h in hosts() {
            let r = Want::Reg(h, w.bits());
            for (op, mnemonic) in [
                (Unary::Not, Mnemonic::Not),
                (Unary::Neg, Mnemonic::Neg),
                (Unary::Div, Mnemonic::Div),
                (Unary::Idiv, Mnemonic::Idiv),
            ] {
                check(|x| x.unary(w, op, h), mnemonic, &[r]);
            }
            for (op, mnemonic) in [
                (Shift::Rol, Mnemonic::Rol),
                (Shift::Shl, Mnemonic::Shl),
                (Shift::Shr, Mnemonic::Shr),
                (Shift::Sar, Mnemonic::Sar),
            ] {
                check(|x| x.shift_imm(w, op, h, 1), mnemonic, &[r, Want::Imm(1)]);
                check(|x| x.shift_imm(w, op, h, 31), mnemonic, &[r, Want::Imm(31)]);
                check(|x| x.shift_cl(w, op, h), mnemonic, &[r, Want::Reg(Host::RCX, 8)]);
            }
            for imm in [1, -1, 127, -128, 128, i32::MAX] {
                for (op, mnemonic) in ARITH {
                    let wants = [r, Want::Imm(imm.into())];
                    check(|x| x.arith_imm(w, op, Rm::Reg(h), imm), mnemonic, &wants);
                }
            }
            check(|x| x.test_imm(w, h, 127), Mnemonic::Test, &[Want::Reg(h, 8), Want::Imm(127)]);
            check(|x| x.test_imm(w, h, 128), Mnemonic::Test, &[r, Want::Imm(128)]);
            check(|x| x.bswap(w, h), Mnemonic::Bswap, &[r]);
        }
    }
    for h in hosts() {
        let r = Want::Reg(h, 64);
        check(|x| x.swap16(h), Mnemonic::Rol, &[Want::Reg(h, 16), Want::Imm(8)]);
        check(|x| x.push(h), Mnemonic::Push, &[r]);
        check(|x| x.pop(h), Mnemonic::Pop, &[r]);
        check(|x| x.jmp_reg(h), Mnemonic::Jmp, &[r]);
        check(|x| x.mov_imm(h, 0, false), Mnemonic::Xor, &[Want::Reg(h, 32), Want::Reg(h, 32)]);
        check(|x| x.mov_imm(h, 0, true), Mnemonic::Mov, &[Want::Reg(h, 32), Want::Imm(0)]);
        check(|x| x.mov_imm(h, 1 << 31, false), Mnemonic::Mov, &[Want::Reg(h, 32)]);
        check(|x| x.mov_imm(h, u64::MAX - 1, false), Mnemonic::Mov, &[r, Want::Imm(-2)]);
        check(|x| x.mov_imm(h, 1 << 40, false), Mnemonic::Mov, &[r, Want::Imm(1 << 40)]);
        check(|x| x.lea_rip(h), Mnemonic::Lea, &[r]);
    }
}

#[test]
fn memory_forms() {
    for (i, mem) in mems().into_iter().enumerate() {
        let (h, m) = (Host(i as u8 & 15), Want::Mem(mem));
        for w in WIDTHS {
            let r = Want::Reg(h, w.bits());
            check(|x| x.load(w, h, mem), Mnemonic::Mov, &[r, m]);
            check(|x| x.lea(w, h, mem), Mnemonic::Lea, &[r, m]);
            check(|x| x.xchg(w, mem, h), Mnemonic::Xchg, &[m, r]);
            check(|x| x.lock_xadd(w, mem, h), Mnemonic::Xadd, &[m, r]);
            check(|x| x.lock_cmpxchg(w, mem, h), Mnemonic::Cmpxchg, &[m, r]);
            check(|x| x.lock_arith(w, Arith::Xor, mem, h), Mnemonic::Xor, &[m, r]);
            check(|x| x.arith(w, Arith::Add, h, Rm::Mem(mem)), Mnemonic::Add, &[r, m]);
            let imm = Want::Imm(300);
            check(|x| x.arith_imm(w, Arith::Cmp, Rm::Mem(mem), 300), Mnemonic::Cmp, &[m, imm]);
            check(|x| x.extend(w, 16, true, h, Rm::Mem(mem)), Mnemonic::Movsx, &[r, m]);
        }
        check(|x| x.extend(W::W64, 32, true, h, Rm::Mem(mem)), Mnemonic::Movsxd, &[]);
        check(|x| x.extend(W::W32, 8, false, h, Rm::Mem(mem)), Mnemonic::Movzx, &[]);
        for log in 0..4 {
            let r = Want::Reg(h, 8 << log);
            check(|x| x.store(log, mem, h), Mnemonic::Mov, &[m, r]);
            check(|x| x.store_imm(log, mem, 0x11), Mnemonic::Mov, &[m, Want::Imm(0x11)]);
        }
        check(|x| x.call_mem(mem), Mnemonic::Call, &[m]);
    }
}

#[test]
fn jumps_have_their_long_form() {
    check(|x| x.jmp(), Mnemonic::Jmp, &[]);
    check(|x| x.call(), Mnemonic::Call, &[]);
    check(|x| x.call_pool(), Mnemonic::Call, &[]);
    check(|x| x.ret(), Mnemonic::Ret, &[]);
    check(|x| x.jcc(Cc::E), Mnemonic::Je, &[]);
    check(|x| x.jcc(Cc::A), Mnemonic::Ja, &[]);
    check(|x| x.jcc(Cc::LE), Mnemonic::Jle, &[]);
    check(|x| x.sign_rdx(W::W32), Mnemonic::Cdq, &[]);
    check(|x| x.sign_rdx(W::W64), Mnemonic::Cqo, &[]);
}
