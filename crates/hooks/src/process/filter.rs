//! The seccomp filter: which system calls stop, as classic BPF.

use super::syscalls;

/// One instruction of classic BPF, as `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Insn {
    pub(crate) code: u16,
    pub(crate) yes: u8,
    pub(crate) no: u8,
    pub(crate) k: u32,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Goes on as if nobody watched.
    Never,
    /// Stops for the tracer.
    Always,
    /// Waits for the listener's word.
    Notify,
    /// Stops if an argument (by index) has all of these bits.
    IfBits(u8, u32),
    /// Stops if an argument has any of these bits.
    IfAny(u8, u32),
}

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const JUMP_ANY: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7fff_0000;
const TRACE: u32 = 0x7ff0_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Numbers of the x32 ABI carry this bit.
const X32: u32 = 0x4000_0000;
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

const fn op(code: u16, k: u32) -> Insn {
    Insn { code, yes: 0, no: 0, k }
}

const fn jump(code: u16, k: u32, yes: u8, no: u8) -> Insn {
    Insn { code, yes, no, k }
}

/// The filter for these calls, by number; calls of other ABIs, and numbers that are not known,
/// are let through.
///
/// Linux finds out which numbers are always allowed and then does not run the filter for them.
pub(crate) fn filter(stops: &[Stop; syscalls::COUNT]) -> Vec<Insn> {
    let mut out = vec![
        op(LOAD, ARCH),
        jump(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0),
        op(RETURN, ALLOW),
        op(LOAD, NUMBER),
        jump(JUMP_AT_LEAST, X32, 0, 1),
        op(RETURN, ALLOW),
    ];
    for (number, stop) in stops.iter().enumerate() {
        let number = number as u32;
        match *stop {
            Stop::Never => {}
            Stop::Always => {
                out.extend([jump(JUMP_EQUAL, number, 0, 1), op(RETURN, TRACE)]);
            }
            Stop::Notify => {
                out.extend([jump(JUMP_EQUAL, number, 0, 1), op(RETURN, NOTIFY)]);
            }
            Stop::IfBits(arg, bits) => out.extend([
                jump(JUMP_EQUAL, number, 0, 5),
                op(LOAD, ARGS + 8 * u32::from(arg)),
                op(AND, bits),
                jump(JUMP_EQUAL, bits, 0, 1),
                op(RETURN, TRACE),
                op(RETURN, ALLOW),
            ]),
            Stop::IfAny(arg, bits) => out.extend([
                jump(JUMP_EQUAL, number, 0, 4),
                op(LOAD, ARGS + 8 * u32::from(arg)),
                jump(JUMP_ANY, bits, 0, 1),
                op(RETURN, TRACE),
                op(RETURN, ALLOW),
            ]),
        }
    }
    out.push(op(RETURN, ALLOW));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers, step by step; the accumulator is all the state that it uses.
    fn answer(filter: &[Insn], arch: u32, number: u32, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        args.iter().for_each(|arg| data.extend(arg.to_le_bytes()));
        let (mut at, mut value) = (0, 0);
        loop {
            let insn = filter[at];
            at += 1;
            let skip = |holds: bool| usize::from(if holds { insn.yes } else { insn.no });
            match insn.code {
                0x20 => {
                    let from = insn.k as usize;
                    value = u32::from_le_bytes(data[from..from + 4].try_into().expect("a word"));
                }
                0x15 => at += skip(value == insn.k),
                0x35 => at += skip(value >= insn.k),
                0x45 => at += skip(value & insn.k != 0),
                0x54 => value &= insn.k,
                0x06 => return insn.k,
                code => panic!("an instruction that is not used: {code:#x}"),
            }
        }
    }

    #[test]
    fn calls_stop_as_asked_and_others_never() {
        const X86_64: u32 = 0xc000_003e;
        const I386: u32 = 0x4000_0003;
        let mut stops = [Stop::Never; syscalls::COUNT];
        (stops[257], stops[0], stops[9]) = (Stop::Always, Stop::Notify, Stop::IfBits(2, 4));
        stops[10] = Stop::IfAny(2, 6);
        let filter = filter(&stops);
        let is = |arch, number, prot| answer(&filter, arch, number, [0, 0, prot, 0, 0, 0]);
        assert_eq!(is(X86_64, 257, 0), TRACE);
        assert_eq!(is(X86_64, 0, 0), NOTIFY);
        assert_eq!([3, 4, 5, 7].map(|prot| is(X86_64, 9, prot)), [ALLOW, TRACE, TRACE, TRACE]);
        assert_eq!([1, 2, 4, 5].map(|prot| is(X86_64, 10, prot)), [ALLOW, TRACE, TRACE, TRACE]);
        assert_eq!(is(X86_64, 1, 0), ALLOW);
        assert_eq!(is(X86_64, 100_000, 0), ALLOW);
        assert_eq!(is(X86_64, X32 | 257, 0), ALLOW, "x32");
        assert_eq!(is(I386, 257, 0), ALLOW, "32-bit");
    }
}
