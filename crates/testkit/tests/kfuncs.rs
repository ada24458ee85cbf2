//! Kernel functions in programs: interpreter, machine code and Linux give the same results.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use btf::Btf;
use ring3::load::{close, load};
use ring3::{Config, Engine, Error, Kernel, Object};
use runtime::Runtime;
use runtime::door::{Bpf, TestRun};
use syscall::Linux;
use uapi::ProgType;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kfuncs")
}

/// What the program says, run twice; a rejection's message instead.
fn answer(door: &dyn Bpf, object: &Object, program: &str) -> String {
    let fds = match load(door, object, Some(program)) {
        Ok(fds) => fds,
        Err(Error::Rejected(why)) => {
            eprintln!("{}", why.log);
            return format!("rejected: {}", why.message);
        }
        Err(other) => return format!("not loaded: {other}"),
    };
    let programs = &object.spec().programs;
    let found = programs.iter().zip(&fds.programs).find(|(p, _)| p.name == program);
    let Some((spec, Some(fd))) = found else { return "no such program".into() };
    let packet = match spec.prog_type {
        Some(ProgType::Syscall) => None,
        // Longer than one piece.
        Some(ProgType::Xdp) => Some((0..5000_u32).map(|n| (n / 100) as u8).collect()),
        _ => Some(vec![0; 64]),
    };
    let request = TestRun { data_in: packet, ..TestRun::default() };
    let run = || match door.test_run(*fd, &request) {
        Ok(out) => (out.retval as i32).to_string(),
        Err(errno) => errno.to_string(),
    };
    let first = run();
    // Work that the first one left is done meanwhile.
    std::thread::sleep(Duration::from_millis(30));
    let answers = format!("{first} {}", run());
    close(door, &fds);
    answers
}

/// The file `name`, compiled, and the kernel's types.
fn compiled(name: &str) -> Option<(Object, Arc<Btf>)> {
    if std::process::Command::new("clang-19").arg("--version").output().is_err() {
        eprintln!("skipped: no clang-19 here");
        return None;
    }
    let kernel = Kernel::running();
    let Ok(kernel_btf) = kernel.types() else {
        eprintln!("skipped: no BTF of a kernel here");
        return None;
    };
    let path = folder().join(format!("{name}.bpf.c"));
    let mut object = Object::open_for(path, &kernel).expect("compiles");
    object.resolve(&kernel).expect("resolves");
    Some((object, kernel_btf))
}

/// Every program of the file `name`, everywhere.
fn same_everywhere(name: &str) {
    let Some((object, kernel_btf)) = compiled(name) else { return };
    let runtime = |engine| {
        let kernel_btf = Some(kernel_btf.clone());
        Runtime::new(Config { engine, kernel_btf, ..Config::default() })
    };
    let linux = Linux::probe().ok();
    if linux.is_none() {
        eprintln!("skipped: no bpf(2) here, only the engines are compared");
    }
    let mut bad = Vec::new();
    for program in &object.spec().programs {
        let interpreted = answer(&runtime(Engine::Interp), &object, &program.name);
        let compiled = answer(&runtime(Engine::Jit), &object, &program.name);
        let expected = match &linux {
            Some(linux) => answer(linux, &object, &program.name),
            None => interpreted.clone(),
        };
        println!("{name} {}: {expected}", program.name);
        if interpreted != expected || compiled != expected {
            bad.push(format!(
                "{}: interpreted {interpreted}, compiled {compiled}, Linux {expected}",
                program.name
            ));
        }
    }
    assert!(bad.is_empty(), "{name}:\n{}", bad.join("\n"));
}

#[test]
fn lists() {
    same_everywhere("lists");
}

#[test]
fn trees() {
    same_everywhere("trees");
}

#[test]
fn pointers() {
    same_everywhere("pointers");
}

#[test]
fn exceptions() {
    same_everywhere("exceptions");
}

#[test]
fn timers() {
    same_everywhere("timers");
}

#[test]
fn tasks() {
    same_everywhere("tasks");
}

#[test]
fn others() {
    same_everywhere("others");
}

/// By the documented arithmetic: this kernel has no memory for streams of SYSCALL programs.
#[test]
fn what_programs_print_is_read() {
    let Some((object, kernel_btf)) = compiled("streams") else { return };
    let door = Runtime::new(Config { kernel_btf: Some(kernel_btf), ..Config::default() });
    let fds = load(&door, &object, None).expect("loads");
    let fd = fds.programs[0].expect("one program");
    let ran = door.test_run(fd, &TestRun::default()).expect("runs");
    // 0 and 0, then ENOENT and EINVAL.
    assert_eq!(ran.retval, 222);
    for stream in [1, 2] {
        assert_eq!(door.stream_read(fd, stream, 5).as_deref(), Ok(&b"7 and"[..]));
        assert_eq!(door.stream_read(fd, stream, 100).as_deref(), Ok(&b" text\n"[..]));
        assert_eq!(door.stream_read(fd, stream, 100).as_deref(), Ok(&b""[..]));
    }
    assert_eq!(door.stream_read(fd, 3, 100), Err(uapi::Errno::ENOENT));
    close(&door, &fds);
}

#[test]
fn packets() {
    same_everywhere("packets");
}

#[test]
fn areas() {
    same_everywhere("areas");
}

#[test]
fn drained() {
    same_everywhere("drained");
}
