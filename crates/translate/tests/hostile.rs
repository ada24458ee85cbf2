//! Anything at all goes in; a program or an error comes out, and the engine takes the program.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{asm::*, translated};
use interp::Program;
use isa::Insn;
use proptest::prelude::*;
use translate::{Input, MapAddr, TranslateError, VarAddr};
use uapi::ProgType;
use verifier::{Access, Facts, InsnFacts};

const ACCESSES: [Access; 8] = [
    Access::None,
    Access::Ctx,
    Access::Direct,
    Access::Sock,
    Access::TcpSock,
    Access::XdpSock,
    Access::Probe,
    Access::Arena,
];

fn insn() -> impl Strategy<Value = Insn> {
    let known: Vec<u8> = (0..=255).filter(|c| isa::is_known_opcode(*c)).collect();
    let code = prop_oneof![1 => any::<u8>(), 20 => prop::sample::select(known)];
    let off = prop_oneof![4 => Just(0), 3 => -12_i16..12, 2 => 0_i16..200, 1 => any::<i16>()];
    let imm = prop_oneof![6 => Just(0), 2 => -12_i32..12, 1 => any::<i32>()];
    (code, 0_u8..11, prop_oneof![3 => Just(0), 2 => 0_u8..11], off, imm)
        .prop_map(|(code, dst, src, off, imm)| Insn::new(code, dst, src, off, imm))
}

fn fact() -> impl Strategy<Value = InsnFacts> {
    (any::<u8>(), prop::sample::select(&ACCESSES[..]), any::<Option<bool>>()).prop_map(
        |(dead, access, branch)| InsnFacts {
            reachable: dead > 40,
            access,
            branch,
            ..InsnFacts::default()
        },
    )
}

fn prog_type() -> impl Strategy<Value = Option<ProgType>> {
    use ProgType::*;
    prop::sample::select(vec![None, Some(Xdp), Some(SchedCls), Some(SocketFilter), Some(Kprobe)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics(
        insns in prop::collection::vec(insn(), 0..30),
        facts in prop::collection::vec(fact(), 0..30),
        same_length in any::<bool>(),
        prog_type in prog_type(),
    ) {
        // Slots that do not decode would hide the rest.
        let mut insns: Vec<Insn> =
            insns.into_iter().filter(|i| isa::decode(&[*i, Insn::default()], 0).is_ok()).collect();
        insns.push(EXIT);
        let mut facts = Facts { insns: facts, ..Facts::default() };
        if same_length {
            let live = InsnFacts { reachable: true, ..InsnFacts::default() };
            facts.insns.resize(insns.len(), live);
        }
        let input = Input {
            insns: &insns,
            facts: &facts,
            prog_type,
            attach_type: 0,
            maps: &[MapAddr { fd: 0, object: 1, value: 2 }],
            fd_array: &[0],
            vars: &[VarAddr { id: 0, btf_fd: 0, addr: 3 }],
            kfuncs: &[],
            user_casts: false,
        };
        if let Ok(program) = translate::translate(input) {
            prop_assert_eq!(program.insns.len(), program.origin.len());
            prop_assert!(program.starts.is_sorted());
            prop_assert!(Program::new(&program).is_ok(), "{:?}", program.insns);
        }
    }
}

/// Every row of facts/insns.json but the one that only the kernel's verifier writes.
#[test]
fn every_instruction_form_reaches_the_engine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../facts/insns.json");
    let text = std::fs::read_to_string(path).unwrap();
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut forms = 0;
    for row in table["insns"].as_array().unwrap() {
        let (name, hex) = (row["name"].as_str().unwrap(), row["bytes"].as_str().unwrap());
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let mut insns = Insn::slots(&bytes).unwrap();
        insns.extend([mov(0, 0), mov(0, 0), mov(0, 0), EXIT]);
        let facts = Facts::default();
        let map = |fd| MapAddr { fd, object: 1, value: 2 };
        let input = Input {
            insns: &insns,
            facts: &facts,
            prog_type: Some(ProgType::SocketFilter),
            attach_type: 0,
            maps: &[map(4), map(5), map(6)],
            fd_array: &[6, 6],
            vars: &[VarAddr { id: 0x29a9, btf_fd: 0, addr: 3 }],
            kfuncs: &[],
            user_casts: false,
        };
        let result = translate::translate(input);
        if name == "mov64_percpu_reg" {
            assert!(matches!(result, Err(TranslateError::Decode(_))));
            continue;
        }
        let program = result.unwrap_or_else(|why| panic!("{name}: {why}"));
        Program::new(&program).unwrap_or_else(|why| panic!("{name}: {why}"));
        forms += 1;
    }
    assert_eq!(forms, 181);
}

#[test]
fn an_arena_cast_keeps_the_low_half() {
    let cast = |imm| Insn::new(0xbf, 0, 1, 1, imm);
    for imm in [1, 1 << 16] {
        let [low, high] = ld_imm64(1, 0x7f00_1234_5678_9abc);
        let insns = [low, high, cast(imm), EXIT];
        let program = translated(&insns, &Facts::default(), ProgType::Syscall).unwrap();
        let got = common::Buffers::new(&mut 0_u64, &mut []).run(&program);
        assert_eq!(got, Ok(0x5678_9abc));
    }
}
