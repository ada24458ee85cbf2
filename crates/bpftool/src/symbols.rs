//! Names of the kernel's addresses.

use std::collections::HashMap;
use std::fs;

/// `/proc/kallsyms`, as far as it tells addresses.
#[derive(Default)]
pub(crate) struct Symbols {
    names: HashMap<u64, String>,
    call_base: u64,
}

impl Symbols {
    /// Those of the running kernel; none if it hides them.
    pub(crate) fn kernel() -> Symbols {
        let text = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let mut symbols = Symbols::default();
        for line in text.lines() {
            let mut columns = line.split_ascii_whitespace();
            let (Some(address), Some(_), Some(name)) =
                (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            let Ok(address) = u64::from_str_radix(address, 16) else { continue };
            if address == 0 {
                continue;
            }
            if name == "__bpf_call_base" {
                symbols.call_base = address;
            }
            symbols.names.entry(address).or_insert_with(|| name.to_owned());
        }
        symbols
    }

    /// What a translated call goes to; `imm` counts from the kernel's base of calls.
    pub(crate) fn call(&self, imm: i32) -> Option<&str> {
        if self.call_base == 0 {
            return None;
        }
        let address = self.call_base.wrapping_add(imm as i64 as u64);
        self.names.get(&address).map(String::as_str)
    }

    /// What begins at an address.
    pub(crate) fn at(&self, address: u64) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }
}
