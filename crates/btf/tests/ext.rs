//! `.BTF.ext` of the recorded objects, compared with llvm-objdump's source lines.

mod common;

use btf::{Btf, Ext, Kind};

#[test]
fn objects_have_typed_functions_and_lines() {
    for path in common::objects() {
        let Some(bytes) = common::section(&path, ".BTF") else { continue };
        let btf = Btf::parse(&bytes).expect("clang's BTF");
        let Some(ext) = common::section(&path, ".BTF.ext") else { continue };
        let ext = Ext::parse(&ext, &btf).expect("clang's .BTF.ext");
        for section in &ext.funcs {
            let code = common::section(&path, &section.name).expect("a section of that name");
            for func in &section.records {
                assert_eq!(btf.kind(func.type_id), Some(Kind::Func), "{}", path.display());
                assert!((func.insn_off as usize) < code.len());
            }
        }
        let source = std::fs::read_to_string(path.with_extension("c")).expect("its source");
        let source: Vec<&str> = source.lines().collect();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("UTF-8 name");
        for line in ext.lines.iter().flat_map(|section| &section.records) {
            // clang names files as given on its command line; compare those of the object itself.
            if line.file_name(&btf).ends_with(&format!("{stem}.c")) && line.line > 0 {
                assert_eq!(line.text(&btf), source[line.line as usize - 1], "{}", path.display());
            }
        }
        for relo in ext.relos.iter().flat_map(|section| &section.records) {
            let access = relo.access(&btf).expect("a string");
            assert!(access.split(':').all(|part| part.parse::<u32>().is_ok()), "{access}");
        }
    }
}

#[test]
fn hostile_counts_are_errors() {
    let btf = Btf::parse(&common::assemble(&[], b"\0x\0")).expect("empty BTF");
    // header, then func_info: record size 8, section name 1, u32::MAX records.
    let words = [0x0001_eb9f_u32, 24, 0, 12, 12, 0, 8, 1, u32::MAX];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let error = Ext::parse(&bytes, &btf).expect_err("too many records");
    assert!(error.to_string().contains("do not fit"), "{error}");
}
