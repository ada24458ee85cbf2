//! Helpers of the embedding program: their contracts hold as those of Linux's helpers do. The
//! expected texts are what Linux 6.18 says of a helper of its own with the same contract.

mod common;

use std::borrow::Cow;

use common::{asm, message, program, variant, verify, world};
use uapi::{ArgKind, ArgType, HelperProto, RetKind, RetType};

const ID: u32 = 5000;

/// `long note(const void *mem, u32 size)`, as bpf_trace_printk without its format rules.
fn note() -> HelperProto {
    const ARGS: &[ArgType] = &[ArgType::new(ArgKind::Mem), ArgType::new(ArgKind::ConstSize)];
    HelperProto {
        id: ID,
        name: "note".into(),
        gpl_only: false,
        might_sleep: false,
        pkt_access: false,
        ret: RetType::new(RetKind::Integer),
        args: Cow::Borrowed(ARGS),
    }
}

/// `void *find(map, key)`, as bpf_map_lookup_elem.
fn find() -> HelperProto {
    const ARGS: &[ArgType] = &[ArgType::new(ArgKind::ConstMapPtr), ArgType::new(ArgKind::MapKey)];
    HelperProto {
        name: "find".into(),
        ret: RetType::new(RetKind::MapValue).or_null(),
        args: Cow::Borrowed(ARGS),
        ..note()
    }
}

/// What is said of an XDP program that may call this one helper.
fn said(helper: HelperProto, license: &str, text: &str) -> String {
    let mut program = program(variant("XDP"), asm(text));
    program.license = license.into();
    let mut world = world();
    world.host_helpers.push(helper);
    message(&verify(&program, &world))
}

#[test]
fn memory_and_its_size_are_checked() {
    let call = |before: &str| said(note(), "GPL", &format!("{before}\ncall 5000\nr0 = 0\nexit"));
    let eight = "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = ";
    assert_eq!(call(&format!("{eight}8")), "");
    assert_eq!(call(&format!("{eight}9")), "invalid read from stack R1 off=-8 size=9");
    assert_eq!(call(&format!("{eight}0")), "R2 invalid zero-sized read: u64=[0,0]");
    for (before, kind) in [("r1 = 0\nr2 = 8", "scalar"), ("r2 = 8", "ctx")] {
        let want = format!("R1 type={kind} expected=fp, pkt, ");
        assert!(call(before).starts_with(&want), "{}", call(before));
    }
    assert_eq!(call("r1 = r10\nr1 += -8"), "R2 !read_ok");
}

#[test]
fn what_is_returned_is_tracked() {
    let call = |after: &str| {
        let key = "*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4";
        said(find(), "GPL", &format!("r1 = map_fd 1\n{key}\ncall 5000\n{after}\nr0 = 0\nexit"))
    };
    assert_eq!(call("if r0 == 0 goto +1\nr1 = *(u64 *)(r0 +8)"), "");
    assert_eq!(call("r1 = *(u64 *)(r0 +8)"), "R0 invalid mem access 'map_value_or_null'");
    assert_eq!(
        call("if r0 == 0 goto +1\nr1 = *(u64 *)(r0 +16)"),
        "R0 min value is outside of the allowed memory range"
    );
    // Caller-saved registers are gone.
    assert_eq!(call("r0 = r2"), "R2 !read_ok");
}

#[test]
fn licence_and_sleep_gate_the_call() {
    let text = "*(u64 *)(r10 -8) = 0\nr1 = r10\nr1 += -8\nr2 = 8\ncall 5000\nr0 = 0\nexit";
    let gpl = HelperProto { gpl_only: true, ..note() };
    assert_eq!(said(gpl.clone(), "GPL", text), "");
    let want = "cannot call GPL-restricted function from non-GPL compatible program";
    assert_eq!(said(gpl, "Proprietary", text), want);
    let sleeps = HelperProto { might_sleep: true, ..note() };
    assert_eq!(said(sleeps, "GPL", text), "helper call might sleep in a non-sleepable prog");
}

#[test]
fn numbers_of_linux_are_not_taken_over() {
    // 5 is bpf_ktime_get_ns, which takes nothing: a contract of that number does not replace it.
    let taken = HelperProto { id: 5, ..note() };
    assert_eq!(said(taken, "GPL", "call 5\nr0 = 0\nexit"), "");
    assert_eq!(said(note(), "GPL", "call 5001\nexit"), "invalid func unknown#5001");
}
