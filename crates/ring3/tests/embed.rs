//! What an embedder does: load, run, read and write maps, lend helpers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring3::{CompileError, Error, Machine, Object, Verifier};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// An example; `None`, and a line that says so, without clang and headers.
fn open(name: &str) -> Option<Object> {
    match Object::open(example(name)) {
        Ok(object) => Some(object),
        Err(Error::Compile(
            error @ (CompileError::NoClang { .. } | CompileError::Refused { .. }),
        )) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn fifteen_lines_load_run_and_read() {
    let Some(object) = open("hello.bpf.c") else { return };
    let machine = Machine::new();
    let loaded = machine.load(&object).expect("an accepted program");
    let program = loaded.program("hello").expect("its name");
    for _ in 0..3 {
        assert_eq!(program.run(&[0; 64]).expect("a run").retval, 2);
    }
    let bss = loaded.map("hello.bss").expect("the map of globals");
    assert_eq!(bss.get(&[0; 4]).expect("a lookup"), Some(3u32.to_ne_bytes().to_vec()));
    let trace = machine.take_trace();
    assert!(trace.ends_with("bpf_trace_printk: Hello World 2\n"), "{trace}");
    bss.set(&[0; 4], &40u32.to_ne_bytes()).expect("an update");
    assert_eq!(bss.to_json().expect("contents")[0]["value"][".bss"][0]["counter"], 40);
}

#[test]
fn a_packet_comes_back_as_the_program_left_it() {
    // eth->h_dest[0] = 0xaa, after the check that Linux asks for.
    let text = "r2 = *(u32 *)(r1 +4)
        r1 = *(u32 *)(r1 +0)
        r3 = r1
        r3 += 14
        if r3 > r2 goto +1
        *(u8 *)(r1 +0) = 170
        r0 = 2
        exit";
    let object = Object::assemble("mark", "xdp", text).expect("instructions");
    let machine = Machine::new();
    let loaded = machine.load(&object).expect("an accepted program");
    let ran = loaded.program("mark").expect("its name").run(&[7; 60]).expect("a run");
    assert_eq!((ran.retval, ran.data[0], &ran.data[1..]), (2, 0xaa, &[7u8; 59][..]));
}

#[test]
fn a_host_helper_is_called_and_its_contract_checked() {
    let sum = Arc::new(AtomicU64::new(0));
    let mut machine = Machine::new();
    let seen = sum.clone();
    let number = machine.register("note", move |value: u32, by: i32| {
        seen.fetch_add(u64::from(value), Ordering::Relaxed);
        i64::from(by) - 1
    });
    let text = format!("r1 = 5\nr2 = 0\ncall {number}\nr0 += 3\nexit");
    let object = Object::assemble("f", "xdp", &text).expect("instructions");
    let loaded = machine.load(&object).expect("an accepted program");
    let program = loaded.program("f").expect("its name");
    assert_eq!(program.run(&[0; 64]).expect("a run").retval, 2);
    assert_eq!(program.run(&[0; 64]).expect("a run").retval, 2);
    assert_eq!(sum.load(Ordering::Relaxed), 10);

    // r2 was never set; no helper of this number is known; both are Linux's messages.
    for (text, want) in [
        (format!("r1 = 5\ncall {number}\nexit"), "R2 !read_ok"),
        (format!("call {}\nexit", number + 1), &*format!("invalid func unknown#{}", number + 1)),
    ] {
        let object = Object::assemble("f", "xdp", &text).expect("instructions");
        let error = machine.load(&object).err().expect("a rejection").to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn packets_come_in_by_one_interface_however_they_are_run() {
    // ctx->ingress_ifindex; BPF_PROG_TEST_RUN on Linux 6.18 gives 1.
    let object = Object::assemble("f", "xdp", "r0 = *(u32 *)(r1 +12)\nexit").expect("text");
    let machine = Machine::new();
    let loaded = machine.load(&object).expect("an accepted program");
    let program = loaded.program("f").expect("its name");
    let mut runner = program.runner().expect("a runner");
    assert_eq!(program.run(&[0; 64]).expect("a run").retval, 1);
    assert_eq!(runner.run(&[0; 64]), Ok(1));
    assert_eq!(runner.packet(), [0; 64]);
}

#[test]
fn verdicts_need_no_machine() {
    let object = Object::assemble("f", "xdp", "r0 = r5\nexit").expect("instructions");
    let program = object.only_program().expect("one");
    let verdict = Verifier::default().verdict(&object, program, 1);
    let rejection = verdict.outcome.verdict.expect_err("r5 is not set");
    // Recorded from Linux 6.18: EACCES and this text for an uninitialised register.
    assert_eq!((rejection.errno, &*rejection.message), (uapi::Errno::EACCES, "R5 !read_ok"));
    assert_eq!(rejection.insn, Some(0));
}

#[test]
fn errors_name_the_file_and_what_there_is() {
    let machine = Machine::new();
    let object = Object::assemble("f", "xdp", "r0 = 2\nexit").expect("instructions");
    let loaded = machine.load(&object).expect("an accepted program");
    let error = loaded.program("g").err().expect("no such program");
    assert_eq!(error.to_string(), "f: no program 'g' (it has f)");
    let error = loaded.map("m").err().expect("no such map");
    assert_eq!(error.to_string(), "f: no map 'm' (it has none)");
    assert!(Object::assemble("f", "nonsense", "exit").is_err());
    assert!(Object::assemble("f", "xdp", "frobnicate r1").is_err());
}
