//! Addresses of the kernel's functions, as `bpf_get_func_ip` tells them.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::syscalls;

/// Read when a program first asks: those of the running kernel where it tells them, else some that
/// differ from each other.
#[derive(Default)]
pub(crate) struct Addresses(OnceCell<HashMap<u32, u64>>);

/// The kernel's code begins here where it is not moved.
const CODE: u64 = 0xffff_ffff_8100_0000;
const APART: u64 = 64;

impl Addresses {
    /// The address of a system call's function.
    pub(crate) fn of(&self, number: u32) -> u64 {
        let known = self.0.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            text.lines().filter_map(parse).collect()
        });
        known.get(&number).copied().unwrap_or(CODE + APART * u64::from(number))
    }
}

/// A line of `/proc/kallsyms`, if it is of a system call; addresses that are hidden read as 0.
fn parse(line: &str) -> Option<(u32, u64)> {
    let (address, rest) = line.split_once(' ')?;
    let function = rest.split_ascii_whitespace().nth(1)?.strip_prefix("__x64_sys_")?;
    let address = u64::from_str_radix(address, 16).ok().filter(|address| *address != 0)?;
    Some((syscalls::number(function)?, address))
}
