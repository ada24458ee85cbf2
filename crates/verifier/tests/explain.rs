//! The parts of explanations: which cause, which registers, which steps of the path.

mod common;

use common::{asm, program, variant, world};
use verifier::{EventKind, Explanation, LogOptions, Policy, Program, explain, verify};

/// A loader with CAP_BPF and CAP_NET_ADMIN.
const CAREFUL: Policy = Policy {
    cpus: 2,
    cap_bpf: true,
    cap_perfmon: false,
    cap_net_admin: true,
    cap_sys_admin: false,
    collect_facts: false,
};

fn of(label: &str, text: &str) -> Program {
    program(variant(label), asm(text))
}

fn explained(label: &str, text: &str) -> Explanation {
    explain(&of(label, text), &world(), &Policy::default()).expect("a rejected program")
}

#[test]
fn accepted_programs_have_nothing_to_explain() {
    let program = of("SOCKET_FILTER", "r0 = 0\nexit");
    assert_eq!(explain(&program, &world(), &Policy::default()), None);
}

#[test]
fn the_errno_and_message_are_the_verdicts() {
    let program = of("SOCKET_FILTER", "r0 = *(u64 *)(r1 + 4096)\nexit");
    let why = explain(&program, &world(), &Policy::default()).unwrap();
    let verdict = verify(&program, &world(), &Policy::default(), &LogOptions::default());
    let rejection = verdict.verdict.unwrap_err();
    assert_eq!((why.errno, why.message), (rejection.errno, rejection.message));
    assert_eq!(why.cause, "context-field");
}

#[test]
fn a_check_of_another_pointer_does_not_count() {
    // data in r2, data_end in r3; r4 = data + 8 is compared, data + 8 read.
    let text = "r2 = *(u32 *)(r1 + 0)\n\
                r3 = *(u32 *)(r1 + 4)\n\
                r4 = r2\n\
                r4 += 8\n\
                if r4 > r3 goto +1\n\
                r0 = *(u8 *)(r2 + 8)\n\
                r0 = 1\n\
                exit";
    let why = explained("XDP/XDP", text);
    assert_eq!(why.cause, "packet-bounds");
    assert_eq!(why.place.as_ref().unwrap().insn, 5);
    assert!(why.required.contains("data + 9 <= data_end"), "{}", why.required);
    assert!(why.known[0].text.contains("checked up to offset 8"), "{:?}", why.known);
    let bounded = why.path.iter().find(|e| e.kind == EventKind::Bounded).unwrap();
    assert_eq!(bounded.place.insn, 4);
    assert!(bounded.text.starts_with("r4 <= r3"), "{}", bounded.text);
}

#[test]
fn values_are_followed_through_the_stack_and_into_functions() {
    // r6 = any number, limited to 0..=7 and kept at fp-8; the function adds it to the context.
    let text = "r6 = *(u32 *)(r1 + 0)\n\
                if r6 > 7 goto +4\n\
                *(u64 *)(r10 - 8) = r6\n\
                r2 = *(u64 *)(r10 - 8)\n\
                call pc+3\n\
                goto +1\n\
                r0 = 0\n\
                exit\n\
                r1 += r2\n\
                r0 = *(u32 *)(r1 + 0)\n\
                exit";
    let why = explained("SOCKET_FILTER", text);
    assert_eq!(why.cause, "context-variable", "{why:#?}");
    let insns: Vec<usize> = why.path.iter().map(|e| e.place.insn).collect();
    for (insn, what) in [(0, "made"), (1, "limited"), (4, "passed"), (8, "added")] {
        assert!(insns.contains(&insn), "where it is {what}: {:#?}", why.path);
    }
    assert!(insns.is_sorted(), "{insns:?}");
    let limit = why.path.iter().find(|e| e.place.insn == 1).unwrap();
    assert!(limit.text.contains("from 0 to 7"), "{}", limit.text);
    let range = why.known[0].range.unwrap();
    assert_eq!((range.umin, range.umax), (0, 7));
}

#[test]
fn a_lost_limit_is_named_where_it_is_lost() {
    let text = "r6 = *(u32 *)(r1 + 0)\n\
                r7 = *(u32 *)(r1 + 4)\n\
                if r6 > 7 goto +4\n\
                r7 <<= 8\n\
                r6 += r7\n\
                r1 += r6\n\
                r0 = *(u32 *)(r1 + 0)\n\
                r0 = 0\n\
                exit";
    let why = explained("SOCKET_FILTER", text);
    let lost: Vec<usize> =
        why.path.iter().filter(|e| e.kind == EventKind::Lost).map(|e| e.place.insn).collect();
    assert_eq!(lost, [4], "{:#?}", why.path);
}

#[test]
fn uninitialised_stack_is_named_by_its_first_byte() {
    let text = "*(u32 *)(r10 - 8) = 0\nr0 = *(u64 *)(r10 - 8)\nexit";
    let program = of("SOCKET_FILTER", text);
    let why = explain(&program, &world(), &CAREFUL).expect("rejected without CAP_PERFMON");
    assert_eq!(why.cause, "stack-uninitialised");
    assert!(why.required.contains("the byte at fp-4 "), "{}", why.required);
}

#[test]
fn leaks_and_loops_have_their_causes() {
    let leak = of("SOCKET_FILTER", "r0 = r1\nexit");
    let why = explain(&leak, &world(), &CAREFUL).unwrap();
    assert_eq!((why.cause, why.known[0].name.as_str()), ("pointer-leak", "R0"));
    let endless = explained("SOCKET_FILTER", "r0 = 0\ngoto -2");
    assert_eq!((endless.cause, endless.place.unwrap().insn), ("infinite-loop", 0));
    let dead = explained("SOCKET_FILTER", "r0 = 0\nexit\nr0 = 1\nexit");
    assert_eq!(dead.cause, "unreachable");
}

/// A small generator of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn any_bytes_can_be_explained() {
    /// Opcodes that are well-formed with most operands, so that paths get long.
    const COMMON: &[u8] =
        &[0xbf, 0xb7, 0x07, 0x0f, 0x57, 0x61, 0x79, 0x7b, 0x63, 0x15, 0x2d, 0xa5, 0x85, 0x05];
    let seed = 0x7269_6e67_0003_u64;
    eprintln!("seed {seed:#x}");
    let mut random = Random(seed);
    let (mut rejected, world) = (0, world());
    for n in 0..4000 {
        let count = 1 + (random.next() % 24) as usize;
        let insns = (0..=count).map(|at| {
            let bits = random.next();
            let code = match (at == count, n % 2) {
                (true, _) => 0x95,
                (_, 0) => COMMON[(bits % COMMON.len() as u64) as usize],
                _ => bits as u8,
            };
            let mut bytes = [0; 8];
            bytes[0] = code;
            if code != 0x95 {
                bytes[1] = (bits >> 8) as u8 & 0xbb;
                bytes[2] = (bits >> 16) as u8 & 0xf8;
                bytes[3] = if bits >> 60 & 3 == 0 { 0xff } else { 0 };
                bytes[4] = (bits >> 24) as u8 & 0x1f;
            }
            isa::Insn::from_bytes(bytes)
        });
        let program = program(variant("SOCKET_FILTER"), insns.collect());
        let policy = if n % 3 == 0 { CAREFUL } else { Policy::default() };
        let verdict = verify(&program, &world, &policy, &LogOptions::default()).verdict;
        let why = explain(&program, &world, &policy);
        assert_eq!(why.is_some(), verdict.is_err());
        if let Some((why, rejection)) = why.zip(verdict.err()) {
            assert_eq!(why.errno, rejection.errno);
            assert!(!why.title.is_empty());
            rejected += 1;
        }
    }
    assert!(rejected > 3000, "{rejected}");
}
