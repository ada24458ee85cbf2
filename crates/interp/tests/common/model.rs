//! The instruction set once more, from the text of RFC 9669, in wide integers.

use super::Form;

/// What an instruction may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) r0: u64,
    /// The destination of the forms.
    pub(crate) r1: u64,
    /// The source of the forms.
    pub(crate) r2: u64,
    /// The eight bytes at r10 - 8.
    pub(crate) mem: u64,
}

/// `x` modulo 2^bits.
fn low(x: u64, bits: u32) -> u128 {
    u128::from(x) % (1 << bits)
}

/// The low `bits` of `x` as two's complement.
fn signed(x: u64, bits: u32) -> i128 {
    let value = low(x, bits) as i128;
    if value >= 1 << (bits - 1) { value - (1 << bits) } else { value }
}

/// Back to a register: modulo 2^bits, zero above.
fn wrap(x: i128, bits: u32) -> u64 {
    x.rem_euclid(1 << bits) as u64
}

/// The state after `form` with immediate `imm`. A jump leaves 1 in r0 if it is taken, else 0.
pub(crate) fn step(form: &Form, imm: i32, s: State) -> State {
    let name = form.name.as_str();
    match form.group.as_str() {
        "alu64" | "alu32" => {
            let bits = if form.group == "alu64" { 64 } else { 32 };
            let operand = if form.takes_imm { i64::from(imm) as u64 } else { s.r2 };
            State { r1: alu(name, bits, s.r1, operand), ..s }
        }
        "end" => State { r1: endian(name, s.r1), ..s },
        "jmp64" | "jmp32" => {
            let bits = if form.group == "jmp64" { 64 } else { 32 };
            let operand = if form.takes_imm { i64::from(imm) as u64 } else { s.r2 };
            let taken = condition(name.trim_end_matches("32"), bits, s.r1, operand);
            State { r0: taken.into(), ..s }
        }
        "ldx" => {
            let (sign, bits) = (name.starts_with("ldsx"), size(name));
            let value = if sign { signed(s.mem, bits) } else { low(s.mem, bits) as i128 };
            State { r1: wrap(value, 64), ..s }
        }
        "stx" => State { mem: replace(s.mem, s.r2, size(name)), ..s },
        "st" => State { mem: replace(s.mem, i64::from(imm) as u64, size(name)), ..s },
        "atomic" => atomic(name, s),
        other => panic!("group {other}"),
    }
}

fn alu(name: &str, bits: u32, dst: u64, src: u64) -> u64 {
    let (d, s) = (low(dst, bits) as i128, low(src, bits) as i128);
    let (sd, ss) = (signed(dst, bits), signed(src, bits));
    let count = s % i128::from(bits);
    let op = name.trim_end_matches("64").trim_end_matches("32");
    let value = match op {
        "add" => d + s,
        "sub" => d - s,
        "mul" => (d as u128).wrapping_mul(s as u128) as i128,
        "div" => {
            if s == 0 {
                0
            } else {
                d / s
            }
        }
        "sdiv" => {
            if s == 0 {
                0
            } else {
                sd / ss
            }
        }
        "mod" => {
            if s == 0 {
                d
            } else {
                d % s
            }
        }
        "smod" => {
            if s == 0 {
                d
            } else {
                sd % ss
            }
        }
        "or" => d | s,
        "and" => d & s,
        "xor" => d ^ s,
        "mov" => s,
        "neg" => -d,
        "lsh" => return wrap_shift(d as u128, count as u32, bits),
        "rsh" => d >> count,
        "arsh" => sd >> count,
        "movsx8_" => signed(src, 8),
        "movsx16_" => signed(src, 16),
        "movsx32_" => signed(src, 32),
        other => panic!("{other}"),
    };
    wrap(value, bits)
}

fn wrap_shift(value: u128, count: u32, bits: u32) -> u64 {
    (value << count) as u64 & (u64::MAX >> (64 - bits))
}

fn endian(name: &str, value: u64) -> u64 {
    let bits: u32 = name[name.len() - 2..].parse().unwrap();
    let bytes = (0..bits / 8).map(|i| low(value >> (8 * i), 8));
    let in_order: Vec<u128> =
        if name.starts_with("to_le") { bytes.rev().collect() } else { bytes.collect() };
    in_order.iter().fold(0, |sum, byte| sum * 256 + byte) as u64
}

fn condition(name: &str, bits: u32, dst: u64, src: u64) -> bool {
    let (d, s) = (low(dst, bits), low(src, bits));
    let (sd, ss) = (signed(dst, bits), signed(src, bits));
    match name {
        "jeq" => d == s,
        "jne" => d != s,
        "jset" => d & s != 0,
        "jgt" => d > s,
        "jge" => d >= s,
        "jlt" => d < s,
        "jle" => d <= s,
        "jsgt" => sd > ss,
        "jsge" => sd >= ss,
        "jslt" => sd < ss,
        "jsle" => sd <= ss,
        other => panic!("{other}"),
    }
}

/// Bits of a memory form, from the end of its name.
fn size(name: &str) -> u32 {
    match name.trim_start_matches("load_acquire_").trim_start_matches("store_release_") {
        n if n.ends_with("dw") => 64,
        n if n.ends_with('w') => 32,
        n if n.ends_with('h') => 16,
        n if n.ends_with('b') => 8,
        other => panic!("{other}"),
    }
}

/// `old` with its low `bits` from `new`.
fn replace(old: u64, new: u64, bits: u32) -> u64 {
    (u128::from(old) - low(old, bits) + low(new, bits)) as u64
}

fn atomic(name: &str, s: State) -> State {
    if name.starts_with("load_acquire") {
        return State { r1: low(s.mem, size(name)) as u64, ..s };
    }
    if name.starts_with("store_release") {
        return State { mem: replace(s.mem, s.r2, size(name)), ..s };
    }
    let bits = if name.ends_with("64") { 64 } else { 32 };
    let old = low(s.mem, bits) as u64;
    let op = name.trim_end_matches(char::is_numeric);
    let plain = op.trim_start_matches("fetch_");
    let new = match plain {
        "add" => old.wrapping_add(s.r2),
        "or" => old | s.r2,
        "and" => old & s.r2,
        "xor" => old ^ s.r2,
        "xchg" => s.r2,
        "cmpxchg" if u128::from(old) == low(s.r0, bits) => s.r2,
        "cmpxchg" => old,
        other => panic!("{other}"),
    };
    let after = State { mem: replace(s.mem, new, bits), ..s };
    match plain {
        "cmpxchg" => State { r0: old, ..after },
        _ if op != plain || plain == "xchg" => State { r2: old, ..after },
        _ => after,
    }
}
