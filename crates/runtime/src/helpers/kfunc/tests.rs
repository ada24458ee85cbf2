//! Bodies called by number, by programs that no verifier has seen.

use interp::Trap;
use isa::Insn;

use super::number;
use crate::run::tests::run;

fn i(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

fn kfunc(name: &str) -> Insn {
    i(0x85, 0, 2, 0, number(name).map_or(-1, |number| number as i32))
}

fn stack(reg: u8, at: i32) -> [Insn; 2] {
    [i(0xbf, reg, 10, 0, 0), i(0x07, reg, 0, 0, at)]
}

fn mov(reg: u8, value: i32) -> Insn {
    i(0xb7, reg, 0, 0, value)
}

/// The bytes on the stack, ending at r10 + `end`.
fn put(bytes: &[u8], end: i16) -> (Vec<Insn>, i32) {
    let start = end - bytes.len() as i16;
    let at = |(n, byte): (usize, &u8)| i(0x72, 10, 0, start + n as i16, i32::from(*byte));
    (bytes.iter().enumerate().map(at).collect(), start.into())
}

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

fn summed(start: i32, end: i32) -> Result<u64, Trap> {
    // r6 sums up what the iterator gives; r7 is what `new` answered.
    let mut insns = stack(1, -8).to_vec();
    insns.extend([mov(2, start), mov(3, end), mov(6, 0), kfunc("bpf_iter_num_new")]);
    insns.push(i(0xbf, 7, 0, 0, 0));
    insns.extend(stack(1, -8));
    insns.extend([kfunc("bpf_iter_num_next"), i(0x15, 0, 0, 3, 0)]);
    insns.extend([i(0x61, 1, 0, 0, 0), i(0x0f, 6, 1, 0, 0), i(0x05, 0, 0, -7, 0)]);
    insns.extend(stack(1, -8));
    insns.extend([kfunc("bpf_iter_num_destroy"), i(0xbf, 0, 6, 0, 0)]);
    insns.extend([i(0x15, 7, 0, 1, 0), i(0xbf, 0, 7, 0, 0), EXIT]);
    run(&insns)
}

#[test]
fn numbers_are_counted() {
    assert_eq!(summed(0, 10), Ok(45));
    assert_eq!(summed(5, 5), Ok(0));
    assert_eq!(summed(6, 5), Ok(-22_i64 as u64));
    assert_eq!(summed(0, 1 << 24), Ok(-7_i64 as u64));
    assert_eq!(summed(i32::MIN, i32::MAX), Ok(-7_i64 as u64));
}

fn of_texts(name: &str, a: &str, b: &str, more: i32) -> i32 {
    let (mut insns, at) = put(format!("{a}\0").as_bytes(), 0);
    let (second, to) = put(format!("{b}\0").as_bytes(), at as i16);
    insns.extend(second);
    insns.extend(stack(1, at));
    insns.extend(stack(2, to));
    insns.extend([mov(3, more), kfunc(name), EXIT]);
    run(&insns).map_or(i32::MIN, |value| value as i32)
}

fn of_text(name: &str, a: &str, second: i32, third: i32) -> i32 {
    let (mut insns, at) = put(format!("{a}\0").as_bytes(), 0);
    insns.extend(stack(1, at));
    insns.extend([mov(2, second), mov(3, third), kfunc(name), EXIT]);
    run(&insns).map_or(i32::MIN, |value| value as i32)
}

#[test]
fn texts_are_searched() {
    assert_eq!(of_texts("bpf_strcmp", "abc", "abd", 0), -1);
    assert_eq!(of_texts("bpf_strcmp", "abc", "abc", 0), 0);
    assert_eq!(of_texts("bpf_strcasecmp", "aBc", "AbC", 0), 0);
    assert_eq!(of_texts("bpf_strspn", "aabbcd", "ab", 0), 4);
    assert_eq!(of_texts("bpf_strcspn", "aabbcd", "cx", 0), 4);
    assert_eq!(of_texts("bpf_strstr", "hello world", "o w", 0), 4);
    assert_eq!(of_texts("bpf_strstr", "aaaaab", "aab", 0), 3);
    assert_eq!(of_texts("bpf_strstr", "hello", "", 0), 0);
    assert_eq!(of_texts("bpf_strstr", "hello", "x", 0), -2);
    assert_eq!(of_texts("bpf_strnstr", "hello", "llo", 5), 2);
    assert_eq!(of_texts("bpf_strnstr", "hello", "llo", 4), -2);
    let char = |c: u8| i32::from(c);
    assert_eq!(of_text("bpf_strchr", "hello", char(b'l'), 0), 2);
    assert_eq!(of_text("bpf_strrchr", "hello", char(b'l'), 0), 3);
    assert_eq!(of_text("bpf_strchr", "hello", char(b'x'), 0), -2);
    assert_eq!(of_text("bpf_strchrnul", "hello", char(b'x'), 0), 5);
    assert_eq!(of_text("bpf_strnchr", "hello", 2, char(b'l')), -2);
    assert_eq!(of_text("bpf_strnchr", "hello", 3, char(b'l')), 2);
    assert_eq!(of_text("bpf_strlen", "hello", 0, 0), 5);
    assert_eq!(of_text("bpf_strnlen", "hello", 3, 0), 3);
    // Nowhere; and beyond the stack's end.
    assert_eq!(run(&[mov(1, 64), kfunc("bpf_strlen"), EXIT]), Ok(-34_i64 as u64));
    let mut insns = put(b"x", 0).0;
    insns.extend(stack(1, -1));
    insns.extend([kfunc("bpf_strlen"), EXIT]);
    assert_eq!(run(&insns), Ok(-14_i64 as u64));
}

#[test]
fn sets_of_cpus() {
    // CPU 0 of an empty set, then how many there are.
    let (mut insns, at) = put(&[0; 32], 0);
    insns.push(mov(1, 0));
    insns.extend(stack(2, at));
    insns.extend([kfunc("bpf_cpumask_test_and_set_cpu"), i(0xbf, 6, 0, 0, 0)]);
    insns.extend(stack(1, at));
    insns.extend([kfunc("bpf_cpumask_weight"), i(0x67, 6, 0, 0, 8), i(0x4f, 0, 6, 0, 0), EXIT]);
    assert_eq!(run(&insns), Ok(1));
    // A CPU that is not there.
    let (mut insns, at) = put(&[0; 32], 0);
    insns.push(mov(1, 300));
    insns.extend(stack(2, at));
    insns.push(kfunc("bpf_cpumask_set_cpu"));
    insns.extend(stack(1, at));
    insns.extend([kfunc("bpf_cpumask_empty"), EXIT]);
    assert_eq!(run(&insns), Ok(1));
}
