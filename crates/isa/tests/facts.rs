//! Every instruction form recorded on Linux 6.18: bytes, texts, refusals.

mod common;

use common::{KernelNames, Row, facts, rows};
use isa::{DecodeError, Insn, decode, disasm, encode};

#[test]
fn forms_decode_and_encode_to_the_same_bytes() {
    let rows = rows();
    assert_eq!(rows.len(), 182);
    for row in rows.iter().filter(|r| !r.is_internal()) {
        let op = decode(&row.slots, 0).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        let mut out = Vec::new();
        encode(&op, &mut out).unwrap_or_else(|e| panic!("{}: {e}", row.name));
        assert_eq!(out, row.slots, "{} {op:?}", row.name);
        assert_eq!(op.slots(), row.slots.len());
    }
}

#[test]
fn kernel_text_is_the_verifiers() {
    let names = KernelNames::load();
    for row in rows() {
        let Some(text) = &row.kernel else { continue };
        if row.shows_address() {
            continue;
        }
        let ours = disasm::kernel(&row.slots, 0, &names);
        assert_eq!(ours, format!("{}{text}", row.prefix()), "{}", row.name);
    }
}

/// Three forms that LLVM 19 misreads: it takes ordered loads for additions.
fn is_misread_by_llvm(row: &Row) -> bool {
    row.llvm == "<unknown>" || row.name.starts_with("load_acquire")
}

#[test]
fn llvm_text_is_objdumps() {
    for row in rows().iter().filter(|r| !is_misread_by_llvm(r)) {
        let ours = disasm::llvm(&row.slots, 0, &disasm::Plain);
        // The facts leave out LLVM's mnemonic column.
        assert_eq!(ours.trim_start_matches("ld_pseudo\t"), row.llvm, "{}", row.name);
    }
}

/// The slots of `row` with one field made non-zero, or otherwise undefined.
fn spoiled(row: &Row, key: &str) -> Vec<Insn> {
    let mut slots = row.slots.clone();
    let is_end = row.group == "end";
    let first = &mut slots[0];
    match key {
        "dst" => first.regs |= 1,
        "src" if first.code == 0x85 => first.regs |= 0x30,
        "src" => first.regs |= 0x10,
        "off" => first.off = 3,
        "imm" if is_end => first.imm = 8,
        "imm" => first.imm |= 2,
        "second.code" => slots[1].code = 1,
        "second.regs" => slots[1].regs = 1,
        "second.off" => slots[1].off = 1,
        _ => panic!("unknown field {key}"),
    }
    slots
}

#[test]
fn fields_that_linux_reserves_are_refused_with_its_message() {
    let mut checked = 0;
    for row in rows().iter().filter(|r| !r.is_internal()) {
        let refused = row.raw["nonzero_refused"].as_object().expect("an object");
        for (key, message) in refused {
            let message = message.as_str().or(message[0].as_str()).expect("a message");
            let slots = spoiled(row, key);
            let error = decode(&slots, 0).expect_err(&format!("{} with {key}", row.name));
            assert_eq!(error.kernel_message(), message, "{} with {key}", row.name);
            checked += 1;
        }
    }
    assert!(checked >= 250, "{checked}");
}

#[test]
fn fields_that_linux_ignores_are_accepted() {
    // Probed: `exit` with an offset loads.
    assert_eq!(decode(&[Insn::new(0x95, 0, 0, 1, 0)], 0), Ok(isa::Op::Exit));
}

#[test]
fn opcodes_outside_linuxs_table_are_refused() {
    let facts = facts("insns.json");
    let sweep = facts["opcode_sweep"]["refused"].as_object().expect("an object");
    let mut refused = Vec::new();
    for (message, codes) in sweep {
        let is_opcode = message.starts_with("unknown opcode") || message.starts_with("BPF_LDX");
        for code in codes.as_array().expect("a list").iter().filter_map(|c| c.as_str()) {
            let code = u8::from_str_radix(code, 16).expect("hex");
            if !is_opcode {
                assert!(isa::is_known_opcode(code), "{code:02x}");
                continue;
            }
            refused.push(code);
            let error = decode(&[Insn::new(code, 1, 0, 0, 0)], 0).expect_err("refused");
            let message = message.replace("XX", &format!("{code:02x}"));
            assert_eq!(error.kernel_message(), message);
        }
    }
    for code in 0..=255 {
        assert_eq!(isa::is_known_opcode(code), !refused.contains(&code), "{code:02x}");
    }
}

#[test]
fn sweep_of_opcodes_agrees_with_linux() {
    let facts = facts("insns.json");
    let sweep = facts["opcode_sweep"]["refused"].as_object().expect("an object");
    for (message, codes) in sweep {
        // What depends on register contents is the verifier's.
        if message.contains("mem access") || message.starts_with("unknown opcode") {
            continue;
        }
        for code in codes.as_array().expect("a list").iter().filter_map(|c| c.as_str()) {
            let code = u8::from_str_radix(code, 16).expect("hex");
            let slots = [Insn::new(code, 1, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)];
            let error = decode(&slots, 0).expect_err("refused");
            assert_eq!(&error.kernel_message(), message, "{code:02x}");
        }
    }
}

/// `edge_cases`: the slot, and what Linux printed for it and said about it.
#[test]
fn malformed_slots_print_as_in_linux() {
    let cases = [
        (Insn::new(0xb7, 11, 0, 0, 0), "(b7) r11 = 0", Some("R11 is invalid")),
        (Insn::new(0xbf, 0, 11, 0, 0), "(bf) r0 = r11", Some("R11 is invalid")),
        (Insn::new(0x37, 0, 0, 0, 0), "(37) r0 /= 0", None),
        (Insn::new(0x67, 0, 0, 0, 64), "(67) r0 <<= 64", None),
        (Insn::new(0x64, 0, 0, 0, 32), "(64) w0 <<= 32", None),
        (Insn::new(0xd4, 0, 0, 0, 8), "(d4) r0 = le8 r0", Some("BPF_END uses reserved fields")),
        (
            Insn::new(0xd7, 0, 0, 0, 24),
            "(d7) r0 = bswap24 r0",
            Some("BPF_END uses reserved fields"),
        ),
        (Insn::new(0xbf, 0, 1, 64, 0), "(bf) r0 = r1", Some("BPF_MOV uses reserved fields")),
        (Insn::new(0xb7, 0, 0, 8, 1), "(b7) r0 = 1", Some("BPF_MOV uses reserved fields")),
        (Insn::new(0xbc, 1, 1, 32, 0), "(bc) w1 = (s32)w1", Some("BPF_MOV uses reserved fields")),
        (Insn::new(0xbc, 1, 1, 1, 0), "(bc) w1 = w1", Some("BPF_MOV uses reserved fields")),
        (
            Insn::new(0xbf, 1, 1, 1, 2),
            "(bf) r1 = addr_space_cast(r1, 0, 2)",
            Some("addr_space_cast insn can only convert between address space 1 and 0"),
        ),
        (
            Insn::new(0xdb, 10, 1, -8, 0x20),
            "BUG_db",
            Some("BPF_ATOMIC uses invalid atomic opcode 20"),
        ),
        (
            Insn::new(0xd3, 10, 1, -8, 0),
            "(d3) lock *(u8 *)(r10 -8) += r1",
            Some("invalid atomic operand size"),
        ),
        (
            Insn::new(0xd3, 1, 10, -8, 0xe1),
            "(d3) r10 = atomic_xchg((u8 *)(r1 -8), r10)",
            Some("invalid atomic operand size"),
        ),
        (
            Insn::new(0xe5, 0, 1, 0, 0),
            "(e5) if r0 (null) 0x0 goto pc+0",
            Some("invalid may_goto imm 0"),
        ),
        (Insn::new(0xe5, 0, 0, 0, 1), "(e5) may_goto pc+0", Some("invalid may_goto imm 1")),
        (Insn::new(0x85, 0, 3, 0, 1), "(85) call unknown#1", Some("BPF_CALL uses reserved fields")),
        (Insn::new(0x87, 0, 0, 0, 1), "(87) r0 = -r0", Some("BPF_NEG uses reserved fields")),
        (Insn::new(0xc2, 0, 0, 0, 0), "nospec", Some("unknown opcode c2")),
    ];
    let names = KernelNames::load();
    for (insn, text, message) in cases {
        let ours = disasm::kernel(&[insn], 0, &names);
        assert_eq!(ours.trim_start_matches("(c2) "), text);
        let ours = decode(&[insn], 0).err().map(|e| e.kernel_message());
        assert_eq!(ours.as_deref(), message, "{text}");
    }
}

#[test]
fn halves_of_64_bit_immediates_are_checked() {
    let first = |src| Insn::new(0x18, 1, src, 0, 3);
    let high = Insn::new(0, 0, 0, 0, 5);
    assert_eq!(decode(&[first(0)], 0), Err(DecodeError::TruncatedImm64 { pc: 0 }));
    for kind in [1, 5, 7] {
        let error = decode(&[first(kind), high], 0).expect_err("refused");
        assert_eq!(error.kernel_message(), "unrecognized bpf_ld_imm64 insn");
    }
    assert!(decode(&[first(4), high], 0).is_ok(), "Linux does not look at the high half");
    assert_eq!(decode(&[], 0), Err(DecodeError::OutOfRange { pc: 0 }));
}
