//! Objects that are cut, garbled or made to mislead: an error or a spec, never more.

mod support;

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use loader::{LoadError, Object, Spec};
use object::{Object as _, ObjectSection as _};

/// A linear congruential generator: the same bytes on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit.max(1)
    }
}

/// Small real objects: the recorded ones and our own, compiled.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if let Some(folder) = support::shared("facts/bpftool-golden/objects") {
        paths.extend(support::files(&folder, ".o"));
    }
    let out = tempfile::tempdir().expect("temporary folder");
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects");
    for source in support::files(&own, ".bpf.c") {
        let name = source.file_stem().expect("file name").to_string_lossy().into_owned();
        let object = out.path().join(name).with_extension("o");
        if support::compile(&source, &object).is_some() {
            paths.push(object);
        }
    }
    let read = |path: PathBuf| {
        (path.display().to_string(), std::fs::read(&path).expect("readable object"))
    };
    let mut seeds: Vec<_> = paths.into_iter().map(read).collect();
    seeds.retain(|(_, bytes)| bytes.len() < 64 << 10);
    seeds
}

/// Every step after parsing, against the object's own types: whatever they say must be bearable.
fn exercise(bytes: &[u8]) -> Result<Spec, LoadError> {
    let _ = loader::link(&[("first", bytes), ("second", bytes)]);
    if let Ok(linked) = loader::link(&[("only", bytes)]) {
        let _ = Object::parse(&linked);
    }
    let mut spec = Object::parse_named("hostile", bytes)?;
    let Some(btf) = spec.btf.clone() else { return Ok(spec) };
    let _ = spec.resolve_attach(&btf);
    let _ = spec.resolve_struct_ops(&btf, &[&btf]);
    let _ = spec.relocate_core(&[&btf, &btf]);
    let _ = spec.resolve_ksyms(&btf, &[&btf], &|_| Some(u64::MAX));
    let fds: Vec<i32> = (0..spec.maps.len() as i32).collect();
    for program in &spec.programs {
        assert_eq!(program.link(&fds).len(), program.insns.len());
        for at in &program.map_refs {
            assert!(at.map < spec.maps.len() && at.insn + 1 < program.insns.len());
        }
        for site in &program.core_relos {
            let _ = spec.describe_core(&site.relo);
        }
    }
    Ok(spec)
}

#[test]
fn cut_objects_are_refused() {
    for (name, bytes) in seeds() {
        for end in (0..bytes.len()).step_by(97) {
            let started = Instant::now();
            assert!(exercise(&bytes[..end]).is_err(), "{name} cut to {end} bytes was accepted");
            assert!(started.elapsed() < Duration::from_secs(2), "{name} cut to {end}: slow");
        }
    }
}

#[test]
fn garbled_objects_neither_panic_nor_hang() {
    let seed = std::env::var("RING3_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let rounds = std::env::var("RING3_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    eprintln!("seed {seed}, {rounds} rounds an object");
    let mut random = Random(seed);
    let (mut accepted, mut refused) = (0, 0);
    for (name, bytes) in seeds() {
        let tables = tables(&bytes);
        for round in 0..rounds {
            let mut garbled = bytes.clone();
            for _ in 0..=random.below(8) {
                match random.below(3) {
                    0 => garble(&mut garbled, &mut random),
                    _ => mislead(&mut garbled, &tables, &mut random),
                }
            }
            let started = Instant::now();
            match exercise(&garbled) {
                Ok(_) => accepted += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
            let took = started.elapsed();
            assert!(took < Duration::from_secs(5), "{name} round {round} seed {seed}: {took:?}");
        }
    }
    eprintln!("{accepted} accepted, {refused} refused");
}

/// One change: a byte, a bit, a word with a telling value, or a piece copied elsewhere.
fn garble(bytes: &mut [u8], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(4) {
        0 => bytes[at] = random.next() as u8,
        1 => bytes[at] ^= 1 << random.below(8),
        2 => {
            let words = [0, 1, u32::MAX, 0x7fff_ffff, 0x8000_0000, 0xffff, bytes.len() as u32];
            let word = words[random.below(words.len())].to_le_bytes();
            let end = (at + 4).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        _ => {
            let len = random.below(64).min(bytes.len() - at);
            let from = random.below(bytes.len() - len);
            bytes.copy_within(from..from + len, at);
        }
    }
}

/// The tables that say where everything is: section headers, symbols, relocations, types.
fn tables(bytes: &[u8]) -> Vec<Range<usize>> {
    let file = object::File::parse(bytes).expect("a sound seed");
    let telling = [".BTF", ".BTF.ext", ".symtab", ".maps", ".struct_ops.link"];
    let mut tables: Vec<Range<usize>> = file
        .sections()
        .filter(|section| {
            let name = section.name().unwrap_or_default();
            telling.contains(&name) || name.starts_with(".rel")
        })
        .filter_map(|section| section.file_range())
        .map(|(start, len)| start as usize..(start + len) as usize)
        .collect();
    let headers = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
    tables.push(headers..bytes.len());
    tables.retain(|table| table.len() >= 8);
    tables
}

/// Puts a small or telling number, or another of the table's own words, into a table.
fn mislead(bytes: &mut [u8], tables: &[Range<usize>], random: &mut Random) {
    let table = &tables[random.below(tables.len())];
    let place = |random: &mut Random| table.start + random.below(table.len() / 4) * 4;
    let at = place(random);
    let word = match random.below(4) {
        0 => (random.below(64) as u32).to_le_bytes(),
        1 => [0xff, 0xff, 0xff, random.next() as u8],
        2 => {
            let from = place(random);
            bytes[from..from + 4].try_into().expect("four bytes")
        }
        _ => {
            let old = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            old.wrapping_add(random.below(17) as u32).wrapping_sub(8).to_le_bytes()
        }
    };
    bytes[at..at + 4].copy_from_slice(&word);
}

#[test]
fn other_files_are_named_in_the_error() {
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    assert_eq!(Object::parse(&elf).unwrap_err(), LoadError::BigEndian);
    elf[5] = 1;
    elf[16] = 1;
    elf[18] = 62;
    elf[20] = 1;
    elf[52] = 64;
    assert_eq!(Object::parse(&elf).unwrap_err(), LoadError::Machine { machine: 62 });
    for (bytes, text) in [
        (&b""[..], "empty"),
        (&b"#!/bin/sh"[..], "magic"),
        (&b"\x7fELF"[..], "magic"),
        (&b"\x7fELF\x01\x01\x01"[..], "32-bit"),
    ] {
        let error = Object::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
