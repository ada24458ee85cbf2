//! Properties that hold for any bytes and any text. proptest prints the failing input.

use isa::disasm::{self, Plain, Pseudo};
use isa::{Insn, asm, decode, decode_program, encode};
use proptest::prelude::*;

fn any_insn() -> impl Strategy<Value = Insn> {
    let imm = prop_oneof![any::<i32>(), -1..300i32, Just(1 << 16)];
    let off = prop_oneof![any::<i16>(), -1..33i16, Just(0)];
    let regs = prop_oneof![any::<u8>(), (0..11u8, 0..11u8).prop_map(|(d, s)| s << 4 | d)];
    (any::<u8>(), regs, off, imm).prop_map(|(code, regs, off, imm)| Insn { code, regs, off, imm })
}

/// A slot that often follows: the high half of a 64-bit immediate.
fn any_pair() -> impl Strategy<Value = [Insn; 2]> {
    let high = any::<i32>().prop_map(|imm| Insn { imm, ..Insn::default() });
    let first = prop_oneof![
        any_insn(),
        (0..11u8, 0..8u8, any::<i32>()).prop_map(|(d, s, imm)| Insn::new(0x18, d, s, 0, imm)),
    ];
    (first, prop_oneof![any_insn(), high]).prop_map(|(a, b)| [a, b])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn decoding_and_encoding_are_inverse(slots in any_pair()) {
        let _ = decode_program(&slots);
        let Ok(op) = decode(&slots, 0) else { return Ok(()) };
        let mut bytes = Vec::new();
        encode(&op, &mut bytes).expect("what decodes has an encoding");
        prop_assert_eq!(decode(&bytes, 0), Ok(op));
        // Linux ignores these two fields, and so drops what stands there.
        let ignores = slots[0].code == 0x95 || (slots[0].code == 0x18 && slots[0].src().0 == 4);
        prop_assert!(ignores || bytes == slots[..op.slots()]);
    }

    #[test]
    fn any_slots_print(slots in any_pair()) {
        for names in [&Plain as &dyn disasm::Names, &Pseudo] {
            prop_assert!(!disasm::kernel(&slots, 0, names).is_empty());
            prop_assert!(!disasm::llvm(&slots, 1, names).is_empty());
        }
    }

    #[test]
    fn kernel_text_assembles_to_the_same_slots(slots in any_pair()) {
        let Ok(op) = decode(&slots, 0) else { return Ok(()) };
        let mut bytes = Vec::new();
        encode(&op, &mut bytes).expect("what decodes has an encoding");
        let text = disasm::kernel(&bytes, 0, &Pseudo);
        prop_assert_eq!(asm::assemble(&text), Ok(bytes), "{}", text);
    }

    #[test]
    fn any_text_is_refused_or_assembled(text in "[ -~é\n]{0,60}") {
        let _ = asm::assemble(&text);
    }

    #[test]
    fn nearly_right_text_is_refused_or_assembled(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..14)
    ) {
        let _ = asm::assemble(&words.concat());
    }
}

const WORDS: &[&str] = &[
    "r1",
    "w2",
    "r10",
    " = ",
    "s",
    ">>=",
    "+=",
    "*",
    "(",
    "u32",
    "s8",
    ")",
    "[",
    "]",
    "skb",
    "-",
    "0x10",
    "7",
    "goto ",
    "if ",
    "call ",
    "pc",
    "+",
    "#",
    "lock ",
    "atomic_xchg",
    "map_fd ",
    ",",
    "ll",
    ":",
    "<",
    ">",
    "le16 ",
    "func ",
    "exit",
    "\n",
    " ",
    "store_release",
    "(18) ",
];
