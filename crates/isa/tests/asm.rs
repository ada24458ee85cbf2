//! The assembler against recorded bytes and texts, its own extensions and its error positions.

mod common;

use common::{Row, rows};
use isa::asm::{self, AsmError, NoSymbols, Symbols, assemble};
use isa::disasm::{self, Names, Plain, Pseudo};
use isa::{Callee, Imm64, Insn};

/// The facts' one kernel function, told from a helper by its name.
struct KernelFunctions;

impl Symbols for KernelFunctions {
    fn callee(&self, name: &str, number: Option<i32>) -> Option<Callee> {
        match (name, number) {
            ("bpf_rcu_read_lock", id) => Some(Callee::Kfunc { id: id.unwrap_or(65472), off: 0 }),
            ("bpf_map_lookup_elem", None) => Some(Callee::Helper(1)),
            _ => NoSymbols.callee(name, number),
        }
    }

    fn imm64(&self, name: &str) -> Option<Imm64> {
        (name == "events").then_some(Imm64::MapFd(7))
    }
}

fn assembled(text: &str, what: &str) -> Vec<Insn> {
    asm::assemble_with(text, &KernelFunctions)
        .unwrap_or_else(|e| panic!("{what}: {text}: {e}"))
        .insns
}

#[test]
fn kernel_text_gives_the_bytes_back() {
    let mut checked = 0;
    for row in rows().iter().filter(|r| !r.is_internal() && !r.shows_address()) {
        let Some(text) = &row.kernel else { continue };
        assert_eq!(assembled(text, &row.name), row.slots, "{}", row.name);
        let listed = format!("12: {}{text} ; R1_w=5", row.prefix());
        assert_eq!(assembled(&listed, &row.name), row.slots, "{}", row.name);
        checked += 1;
    }
    assert_eq!(checked, 175);
}

/// LLVM's text says the same for different bytes: which kind a callee is, the displacement of
/// a packet load, ordered accesses, and the high half of a reference.
fn is_lossy_in_llvm(row: &Row) -> bool {
    let first = row.slots[0];
    row.llvm == "<unknown>"
        || (first.code == 0x85 && first.src().0 != 0)
        || row.group == "ld_ind"
        || row.name.starts_with("load_acquire")
        || row.slots.get(1).is_some_and(|s| s.imm != 0 && first.src().0 != 0)
}

#[test]
fn llvm_text_gives_the_bytes_back() {
    let mut checked = 0;
    for row in rows().iter().filter(|r| !is_lossy_in_llvm(r)) {
        let text = match row.shows_address() {
            true => format!("ld_pseudo {}", row.llvm),
            false => row.llvm.clone(),
        };
        assert_eq!(assembled(&text, &row.name), row.slots, "{}", row.name);
        checked += 1;
    }
    assert_eq!(checked, 182 - 16);
}

#[test]
fn older_llvm_names_are_accepted_too() {
    for row in rows() {
        let Some(text) = row.raw["llvm_objdump_default_mcpu"].as_str() else { continue };
        // LLVM below v3 prints a fetching addition as a plain one.
        if text != "<unknown>" && !row.name.starts_with("fetch_add") && !is_lossy_in_llvm(&row) {
            assert_eq!(assembled(text, &row.name), row.slots, "{}", row.name);
        }
    }
}

#[test]
fn every_form_survives_our_own_text() {
    for row in rows().iter().filter(|r| !r.is_internal()) {
        let text = disasm::kernel(&row.slots, 0, &Pseudo);
        assert_eq!(assembled(&text, &row.name), row.slots, "{text}");
    }
}

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

#[test]
fn labels_count_slots() {
    let text = "
start:  r1 = 1 ll        ; two slots
        if r1 == 0 goto end
        call func        // forward
        goto start
end:    exit
func: other:
        if w1 s< -2 goto start   # backward
        may_goto end
        gotol func
        r2 = func func
        exit
";
    let out = asm::assemble_with(text, &NoSymbols).expect("assembles");
    let slot = |code, off, imm| Insn::new(code, 1, 0, off, imm);
    let bare = |code, src, off, imm| Insn::new(code, 0, src, off, imm);
    let expected = [
        slot(0x18, 0, 1),
        Insn::default(),
        slot(0x15, 2, 0),
        bare(0x85, 1, 0, 2),
        bare(0x05, 0, -5, 0),
        EXIT,
        slot(0xc6, -7, -2),
        bare(0xe5, 0, -3, 0),
        bare(0x06, 0, 0, -3),
        Insn::new(0x18, 2, 4, 0, -4),
        Insn::default(),
        EXIT,
    ];
    assert_eq!(out.insns, expected);
    assert_eq!(out.lines, [2, 2, 3, 4, 5, 6, 8, 9, 10, 11, 11, 12]);
    assert_eq!(out.labels["func"], 6);
    assert_eq!(out.labels["other"], 6);
}

#[test]
fn names_are_the_callers() {
    let text = "r1 = events ll\ncall bpf_map_lookup_elem\ncall bpf_rcu_read_lock\nexit";
    let expected = [
        Insn::new(0x18, 1, 1, 0, 7),
        Insn::default(),
        Insn::new(0x85, 0, 0, 0, 1),
        Insn::new(0x85, 0, 2, 0, 65472),
        EXIT,
    ];
    assert_eq!(assembled(text, "names"), expected);
    let error = assemble(text).expect_err("no names");
    assert_eq!(error.to_string(), "1:6: unknown name `events`");
}

#[test]
fn spellings_mean_the_same() {
    let groups: [&[&str]; 14] = [
        &["r1 = 17", "r1=0x11", "r1 = +17", "(b7) r1 = 17"],
        &["r1 = 17 ll", "(18) r1 = 0x11", "r1 = 0x11 ll"],
        &["r1 = 0xffffffff", "r1 = 4294967295 ll"],
        &["r1 = 0xffffffffffffffff", "r1 = -1 ll"],
        &["w1 = 0xffffffff", "w1 = -1"],
        &["if r1 == 0xffffffff goto +1", "if r1 == -1 goto pc+1 <x+0x8>"],
        &["r0 = *(u8 *)(r1 + 0)", "r0=*(u8*)(r1)", "w0 = *(u8 *)(r1 +0)"],
        &["call 1", "call 0x1", "call bpf_map_lookup_elem#1", "call unknown#1"],
        &["call pc+5", "call pc+5#bpf_prog_1234_F", "call pc+0x5"],
        &["call kfunc#9", "call kfunc 9", "call kfunc name#9", "call kfunc(0)#9"],
        &["r1 = map_fd 3", "r1 = map_fd 3 ll", "ld_pseudo r1, 0x1, 0x3"],
        &["r1 = map_value 3", "r1 = map_value 3 + 0"],
        &["r0 = *(u32 *)skb[r2 + -4]", "r0 = *(u32 *)skb[r2 - 4]"],
        &["r0 = atomic_xchg((u32 *)(r1 +0), r0)", "w0 = xchg32_32(r1 + 0x0, w0)"],
    ];
    for group in groups {
        for text in group {
            assert_eq!(assembled(text, "left"), assembled(group[0], "right"), "{text}");
        }
    }
}

#[test]
fn errors_tell_line_and_column() {
    let cases = [
        ("r1 = 1\n  goto there", "2:8: no label `there`"),
        ("x: exit\nx: exit", "2:1: label `x` is defined twice"),
        ("r11 = 0", "1:1: no instruction starts with `r11`"),
        ("r1 = w2", "1:6: expected a 64-bit register (r0 to r10), found `w2`"),
        ("r1 += 0xffffffff", "1:7: 4294967295 is not between -2147483648 and 2147483647"),
        ("r1 = -r2", "1:7: expected the register assigned to, found `r2`"),
        ("r1 = *(u32 *)(r2 + 99999)", "1:18: 99999 is not between -32768 and 32767"),
        ("r1 = *(u24 *)(r2 + 0)", "1:8: expected a type: u8 to u64, s8 to s32, found `u24`"),
        ("(bf) r1 = 5", "1:6: this is opcode b7, not (bf)"),
        ("exit exit", "1:6: expected the end of the line, found `exit`"),
        ("r1", "1:3: expected an operator, found the end of the line"),
        ("goto 5", "1:6: expected a label or a signed distance, found `5`"),
        ("goto +40000", "1:6: offset 40000 does not fit 16 bits"),
        ("if r1 = 5 goto +1", "1:7: `=` compares nothing"),
        ("r1 = 99999999999999999999", "1:6: bad number `99999999999999999999`: "),
        ("r1 = é", "1:6: unexpected character 'é'"),
        ("w1 = (s32)w2", "1:1: no 32-bit form of this operation"),
        ("r1 = *(s64 *)(r2 + 0)", "1:1: no instruction for this operation at this width"),
        ("r1 = le24 r1", "1:1: no 24-bit form of this operation"),
        ("lock *(u8 *)(r1 + 0) += r2", "1:1: no instruction for this operation at this width"),
        ("r1 = addr_space_cast(r1, 2, 0)", "1:1: addr_space_cast converts between"),
        ("ld_pseudo r1, 9, 0", "1:15: no 64-bit immediate is of kind 9"),
        ("(zz) exit", "1:1: expected `*`, found `(`"),
        ("r2 = atomic_xchg((u32 *)(r1 +0), r3)", "1:6: the old value goes to r3"),
        ("r2 = atomic64_xchg((u32 *)(r1 +0), r2)", "1:6: the name is for another operand size"),
        ("w1 = map_fd 3", "1:6: this needs a 64-bit register"),
        ("goto +1 <x", "1:11: expected `>`, found the end of the line"),
    ];
    for (text, expected) in cases {
        let error: AsmError = assemble(text).expect_err(text);
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn far_labels_are_refused_unless_long() {
    let far = "r0 = 0\n".repeat(40_000);
    let error = assemble(&format!("goto end\n{far}end: exit")).expect_err("too far");
    let message = "1:6: label `end` is 40000 slots away, out of reach; use gotol";
    assert_eq!(error.to_string(), message);
    let insns = assemble(&format!("gotol end\n{far}end: exit")).expect("long jumps reach");
    assert_eq!(insns[0].imm, 40_000);
}

#[test]
fn labels_show_in_llvm_text() {
    struct Labels;
    impl Names for Labels {
        fn label(&self, pc: usize) -> Option<std::borrow::Cow<'_, str>> {
            (pc == 3).then_some("LBB0_2".into())
        }
    }
    let insns = assemble("goto +2\nr0 = 0\nr0 = 0\nexit").expect("assembles");
    assert_eq!(disasm::llvm(&insns, 0, &Labels), "goto +0x2 <LBB0_2>");
    assert_eq!(disasm::llvm(&insns, 0, &Plain), "goto +0x2");
}
