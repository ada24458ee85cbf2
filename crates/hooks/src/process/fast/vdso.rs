//! The clock that the kernel puts into every process.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use object::{Object, ObjectSymbol};

/// Offset of the clock's function in the vdso, by our own copy.
pub(super) fn clock() -> Option<u64> {
    let (start, end) = place("/proc/self/maps")?;
    let mut image = vec![0; usize::try_from(end - start).ok()?];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut image, start).ok()?;
    let file = object::File::parse(&*image).ok()?;
    let mut symbols = file.dynamic_symbols();
    let found = symbols.find(|symbol| symbol.name() == Ok("__vdso_clock_gettime"))?;
    Some(found.address())
}

/// Where it is in a process.
pub(super) fn start(tid: i32) -> Option<u64> {
    place(&format!("/proc/{tid}/maps")).map(|(start, _)| start)
}

fn place(maps: &str) -> Option<(u64, u64)> {
    let mut text = String::new();
    File::open(maps).ok()?.read_to_string(&mut text).ok()?;
    let line = text.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((hex(start)?, hex(end)?))
}
