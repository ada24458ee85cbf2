//! Random instructions against the running kernel: the text its log shows, and what it refuses
//! about an instruction by itself. Only loads programs; needs the right to.

mod common;

use common::KernelNames;
use common::random::Random;
use isa::{DecodeError, Insn, decode, disasm};

/// What Linux says of an instruction that is malformed whatever surrounds it.
const MALFORMED: &[&str] = &[
    "uses reserved fields",
    "unknown opcode",
    "bpf_ld_imm64 insn",
    "BPF_ATOMIC uses invalid",
    "invalid atomic operand size",
    "invalid may_goto imm",
    "addr_space_cast insn can only convert",
];

const FIRST: usize = 10;

/// r0 to r9 are zero before the instruction; after it the program ends.
fn program(insn: Insn, second: Option<Insn>) -> Vec<Insn> {
    let mut insns: Vec<Insn> = (0..10).map(|r| Insn::new(0xb7, r, 0, 0, 0)).collect();
    insns.push(insn);
    insns.extend(second);
    insns.extend([Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)]);
    insns
}

#[test]
fn random_instructions_fare_as_in_linux() {
    if !matches!(load(&program(Insn::new(0xb7, 0, 0, 0, 0), None)), Ok(log) if !log.is_empty()) {
        eprintln!("skipped: cannot load programs into this kernel");
        return;
    }
    let (mut random, names) = (Random::new(), KernelNames::load());
    let (mut texts, mut messages) = (0, 0);
    for code in (0..=255).cycle().take(256 * 40) {
        let insn = random.insn(code);
        let high = Insn { imm: random.insn(0).imm, ..Insn::default() };
        let second = match random.next() % 8 {
            0 => Some(random.insn(0)),
            _ => Some(high),
        };
        let insns = program(insn, second.filter(|_| insn.is_ld_imm64()));
        let Ok(log) = load(&insns) else { continue };
        texts += usize::from(check_text(&log, &insns, &names));
        messages += usize::from(check_verdict(&log, &insns));
    }
    eprintln!("{texts} texts and {messages} refusals compared");
    assert!(texts > 1000 && messages > 500, "{texts} texts, {messages} messages");
}

/// Whether the log shows the instruction; its text must be ours.
fn check_text(log: &str, insns: &[Insn], names: &KernelNames) -> bool {
    let insn = insns[FIRST];
    // Addresses, and names of kernel functions, are this kernel's business.
    if insn.src().0 != 0 && (insn.is_ld_imm64() || insn.code == 0x85) {
        return false;
    }
    // `10: R9=0` is the state before it.
    let is_it = |line: &&str| {
        line.trim_start().strip_prefix("10: ").is_some_and(|rest| !rest.starts_with('R'))
    };
    let Some(line) = log.lines().find(is_it) else { return false };
    let ours = disasm::kernel(insns, FIRST, names);
    assert!(line.contains(&ours), "{insn:?}: ours {ours}, Linux's {line}");
    true
}

/// Whether Linux found the instruction malformed; we must have found the same.
fn check_verdict(log: &str, insns: &[Insn]) -> bool {
    let is_bad_register = |l: &str| l.starts_with('R') && l.ends_with(" is invalid");
    let is_malformed = |l: &str| is_bad_register(l) || MALFORMED.iter().any(|m| l.contains(m));
    let theirs = log.lines().find(|l| is_malformed(l));
    let ours = decode(insns, FIRST).map_err(|e: DecodeError| e.kernel_message());
    let insn = insns[FIRST];
    match (theirs, &ours) {
        (Some(theirs), Err(ours)) => assert_eq!(ours, theirs, "{insn:?}"),
        (Some(theirs), Ok(op)) => panic!("{insn:?}: {op:?}, but Linux says {theirs}"),
        // Linux may have stumbled over something else before.
        (None, Err(ours)) => {
            assert!(!log.starts_with("ok"), "{insn:?}: {ours}, but Linux loads it");
        }
        (None, Ok(_)) => {}
    }
    theirs.is_some()
}

/// Loads a socket filter; the verifier's log, `ok` in front if it was accepted.
fn load(insns: &[Insn]) -> Result<String, std::io::Error> {
    const PROG_LOAD: i32 = 5;
    const SOCKET_FILTER: u32 = 1;
    let bytes: Vec<u8> = insns.iter().flat_map(|i| i.to_bytes()).collect();
    let mut log = vec![0u8; 1 << 16];
    let mut attr = Vec::with_capacity(128);
    attr.extend(SOCKET_FILTER.to_ne_bytes());
    attr.extend((insns.len() as u32).to_ne_bytes());
    attr.extend((bytes.as_ptr() as u64).to_ne_bytes());
    attr.extend((c"GPL".as_ptr() as u64).to_ne_bytes());
    attr.extend(2u32.to_ne_bytes());
    attr.extend((log.len() as u32).to_ne_bytes());
    attr.extend((log.as_mut_ptr() as u64).to_ne_bytes());
    // SAFETY: `attr` describes live buffers of the lengths it states.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, attr.as_ptr(), attr.len()) };
    let error = std::io::Error::last_os_error();
    let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]).into_owned();
    if fd >= 0 {
        // SAFETY: the descriptor was just made and is ours.
        unsafe { libc::close(fd as i32) };
        return Ok(format!("ok\n{text}"));
    }
    if text.is_empty() { Err(error) } else { Ok(text) }
}
