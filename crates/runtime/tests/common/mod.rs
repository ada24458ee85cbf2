//! Programs by hand, and both kernels to run them on.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use isa::Insn;
use runtime::door::{Bpf, Fd, LogRequest, ProgLoad};
use runtime::{Config, Runtime};
use uapi::ProgType;

/// A runtime with the CPUs of this machine.
pub fn ours() -> Runtime {
    Runtime::new(Config::default())
}

/// Linux, where it lets us in.
pub fn linux() -> Option<syscall::Linux> {
    match syscall::Linux::probe() {
        Ok(linux) => Some(linux),
        Err(errno) => {
            eprintln!("skipped: no bpf(2) here ({errno})");
            None
        }
    }
}

/// Calls `test` with ours and with Linux's door.
pub fn both(test: impl Fn(&dyn Bpf, &str)) {
    test(&ours(), "ring3");
    if let Some(linux) = linux() {
        test(&linux, "Linux");
    }
}

/// Both doors give the same answer.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, ask: impl Fn(&dyn Bpf) -> T) {
    drop(agree(what, ask));
}

/// The same answer from both doors.
#[must_use]
pub fn agree<T: PartialEq + std::fmt::Debug>(what: &str, ask: impl Fn(&dyn Bpf) -> T) -> T {
    let ours = ask(&ours());
    if let Some(linux) = linux() {
        assert_eq!(ours, ask(&linux), "{what}: ring3 differs from Linux");
    }
    ours
}

pub fn i(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

pub const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

pub fn mov(dst: u8, imm: i32) -> Insn {
    i(0xb7, dst, 0, 0, imm)
}

pub fn mov_reg(dst: u8, src: u8) -> Insn {
    i(0xbf, dst, src, 0, 0)
}

pub fn add(dst: u8, imm: i32) -> Insn {
    i(0x07, dst, 0, 0, imm)
}

pub fn call(helper: i32) -> Insn {
    i(0x85, 0, 0, 0, helper)
}

pub fn ld64(dst: u8, value: u64) -> [Insn; 2] {
    [i(0x18, dst, 0, 0, value as i32), i(0, 0, 0, 0, (value >> 32) as i32)]
}

pub fn ld_map(dst: u8, fd: Fd) -> [Insn; 2] {
    [i(0x18, dst, 1, 0, fd.0), i(0, 0, 0, 0, 0)]
}

/// Stores `bytes` (padded with zeroes to 8) on the stack, ending at `r10 + end`; where they start.
pub fn on_stack(bytes: &[u8], end: i16) -> (Vec<Insn>, i16) {
    let start = end - bytes.len().next_multiple_of(8) as i16;
    let mut out = Vec::new();
    for (k, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        out.extend(ld64(1, u64::from_le_bytes(word)));
        out.push(i(0x7b, 10, 1, start + 8 * k as i16, 0));
    }
    (out, start)
}

pub fn request(prog_type: ProgType, insns: &[Insn]) -> ProgLoad {
    ProgLoad {
        prog_type: Some(prog_type),
        license: "GPL".into(),
        insns: insns.to_vec(),
        log: LogRequest { level: 1, size: 0 },
        ..ProgLoad::default()
    }
}

/// Loads a program that must be accepted.
pub fn load(bpf: &dyn Bpf, prog_type: ProgType, insns: &[Insn]) -> Fd {
    match bpf.prog_load(&request(prog_type, insns)) {
        Ok(loaded) => loaded.fd,
        Err(error) => panic!("{error}\n{}", error.log),
    }
}
