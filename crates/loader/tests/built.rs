//! Objects built by hand: limits, cycles, relocations that lead nowhere.

mod support;

use std::time::{Duration, Instant};

use isa::Insn;
use loader::{LoadError, Object};
use object::write::{Object as Elf, Relocation, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

/// `R_BPF_64_64` and `R_BPF_64_32`.
const LOAD: u32 = 1;
const CALL: u32 = 10;

const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);
const CALL_FUNC: Insn = Insn::new(0x85, 0, 1, 0, -1);

struct Builder(Elf<'static>);

impl Builder {
    fn new() -> Builder {
        Builder(Elf::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little))
    }

    fn section(&mut self, name: &str, kind: SectionKind) -> object::write::SectionId {
        self.0.add_section(Vec::new(), name.into(), kind)
    }

    fn symbol(&mut self, name: &str, section: SymbolSection, value: u64, size: u64) -> SymbolId {
        self.0.add_symbol(Symbol {
            name: name.into(),
            value,
            size,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    /// Appends a function to a section.
    fn function(
        &mut self,
        section: object::write::SectionId,
        name: &str,
        insns: &[Insn],
    ) -> (SymbolId, u64) {
        let bytes: Vec<u8> = insns.iter().flat_map(|insn| insn.to_bytes()).collect();
        let offset = self.0.append_section_data(section, &bytes, 8);
        let size = bytes.len() as u64;
        (self.symbol(name, SymbolSection::Section(section), offset, size), offset)
    }

    fn relocate(
        &mut self,
        section: object::write::SectionId,
        offset: u64,
        symbol: SymbolId,
        r_type: u32,
    ) {
        let flags = RelocationFlags::Elf { r_type: object::elf::RelocationType(r_type) };
        let relocation = Relocation { offset, symbol, addend: 0, flags };
        self.0.add_relocation(section, relocation).expect("relocation");
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.write().expect("object")
    }
}

/// An entry program and `count` functions, each calling the next; the last calls `back`.
fn chain(count: usize, back: usize) -> Vec<u8> {
    let mut elf = Builder::new();
    let text = elf.section(".text", SectionKind::Text);
    let xdp = elf.section("xdp", SectionKind::Text);
    let (_, entry) = elf.function(xdp, "entry", &[CALL_FUNC, EXIT]);
    let functions: Vec<_> =
        (0..count).map(|n| elf.function(text, &format!("f{n}"), &[CALL_FUNC, EXIT])).collect();
    elf.relocate(xdp, entry, functions[0].0, CALL);
    for (number, (_, offset)) in functions.iter().enumerate() {
        let next = if number + 1 < count { number + 1 } else { back };
        elf.relocate(text, *offset, functions[next].0, CALL);
    }
    elf.bytes()
}

#[test]
fn a_long_chain_of_calls_is_followed_without_recursion() {
    let count = 30_000;
    let spec = Object::parse(&chain(count, 0)).expect("loads");
    let program = &spec.programs[0];
    assert_eq!(program.insns.len(), 2 * (count + 1));
    // Depth first, each function right after its caller; the last calls back to the first.
    for number in 0..count {
        assert_eq!(program.insns[2 * number].imm, 1, "call of function {number}");
    }
    assert_eq!(program.insns[2 * count].imm, 2 - 2 * count as i32 - 1);
}

#[test]
fn functions_that_call_each_other_are_taken_once() {
    let spec = Object::parse(&chain(2, 0)).expect("loads");
    let imms: Vec<i32> = spec.programs[0].insns.iter().map(|insn| insn.imm).collect();
    // entry at 0, f0 at 2, f1 at 4 which calls back to 2.
    assert_eq!(imms, [1, 0, 1, 0, -3, 0]);
}

#[test]
fn programs_that_together_grow_without_bound_are_refused() {
    let mut elf = Builder::new();
    let text = elf.section(".text", SectionKind::Text);
    let xdp = elf.section("xdp", SectionKind::Text);
    let (big, _) = elf.function(text, "big", &vec![EXIT; 20_000]);
    for number in 0..5_000 {
        let (_, at) = elf.function(xdp, &format!("entry{number}"), &[CALL_FUNC, EXIT]);
        elf.relocate(xdp, at, big, CALL);
    }
    let started = Instant::now();
    let error = Object::parse(&elf.bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Limit { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn symbols_over_the_same_code_are_bounded() {
    let mut elf = Builder::new();
    let xdp = elf.section("xdp", SectionKind::Text);
    elf.function(xdp, "whole", &vec![EXIT; 20_000]);
    for number in 0..2_000 {
        elf.symbol(&format!("alias{number}"), SymbolSection::Section(xdp), 0, 160_000);
    }
    let error = Object::parse(&elf.bytes()).unwrap_err();
    assert!(matches!(error, LoadError::Limit { .. }), "{error}");
}

#[test]
fn an_alias_is_a_program_of_its_own() {
    let mut elf = Builder::new();
    let xdp = elf.section("xdp", SectionKind::Text);
    elf.function(xdp, "first", &[EXIT]);
    elf.symbol("second", SymbolSection::Section(xdp), 0, 8);
    let spec = Object::parse(&elf.bytes()).expect("loads");
    let names: Vec<&str> = spec.programs.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn relocations_that_lead_nowhere_are_named() {
    let load = [Insn::new(0x18, 1, 0, 0, 0), Insn::default(), EXIT];
    let cases: &[(&str, &[Insn], u64, u32, &str)] = &[
        ("misaligned", &load, 4, LOAD, "not at an instruction"),
        ("of an exit", &load, 16, LOAD, "cannot be relocated"),
        (
            "of a helper call",
            &[Insn::new(0x85, 0, 0, 0, 1), EXIT],
            0,
            CALL,
            "not one of a function",
        ),
        ("cut load", &[EXIT, Insn::new(0x18, 1, 0, 0, 0)], 8, LOAD, "cut off"),
        ("no map", &load, 0, LOAD, "holds neither maps nor data"),
    ];
    for (name, insns, offset, kind, expected) in cases {
        let mut elf = Builder::new();
        let xdp = elf.section("xdp", SectionKind::Text);
        let note = elf.section("note", SectionKind::Data);
        elf.0.append_section_data(note, &[0; 8], 8);
        elf.function(xdp, "entry", insns);
        let symbol = elf.symbol("target", SymbolSection::Section(note), 0, 8);
        elf.relocate(xdp, *offset, symbol, *kind);
        let error = Object::parse(&elf.bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains("'xdp'") && error.contains("target"), "{name}: {error}");
    }
}

#[test]
fn calls_that_lead_nowhere_are_named() {
    for (imm, expected) in [(5, "no function holds slot 6"), (-7, "no function holds slot -6")] {
        let mut elf = Builder::new();
        let xdp = elf.section("xdp", SectionKind::Text);
        let call = Insn::new(0x85, 0, 1, 0, imm);
        elf.function(xdp, "entry", &[call, EXIT]);
        elf.function(xdp, "other", &[EXIT]);
        let error = Object::parse(&elf.bytes()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("entry"), "{error}");
    }
    let mut elf = Builder::new();
    let xdp = elf.section("xdp", SectionKind::Text);
    elf.function(xdp, "entry", &[Insn::new(0x85, 0, 1, 0, 1), EXIT]);
    elf.function(xdp, "other", &[EXIT]);
    let error = Object::parse(&elf.bytes()).unwrap_err().to_string();
    assert!(error.contains("'other' is a program"), "{error}");
}

#[test]
fn a_huge_bss_costs_nothing() {
    let mut elf = Builder::new();
    let bss = elf.section(".bss", SectionKind::UninitializedData);
    elf.0.append_section_bss(bss, 3 << 30, 8);
    let xdp = elf.section("xdp", SectionKind::Text);
    elf.function(xdp, "entry", &[EXIT]);
    let spec = Object::parse_named("huge", &elf.bytes()).expect("loads");
    assert_eq!(support::map_line(&spec.maps[0]), format!("huge.bss 2 4 {} 1 0 0 0 0", 3_u32 << 30));
    assert_eq!(spec.maps[0].initial, None);
    elf.0.append_section_bss(bss, 3 << 30, 8);
    let error = Object::parse(&elf.bytes()).unwrap_err().to_string();
    assert_eq!(error, "section '.bss': above 4 GiB");
}

#[test]
fn maps_without_types_are_refused_with_advice() {
    let mut elf = Builder::new();
    let maps = elf.section(".maps", SectionKind::Data);
    elf.0.append_section_data(maps, &[0; 32], 8);
    let error = Object::parse(&elf.bytes()).unwrap_err().to_string();
    assert_eq!(error, "section '.maps': needs BTF (compile with -g)");
}

/// What `-ffunction-sections` makes.
#[test]
fn functions_in_sections_of_their_own_are_called() {
    let mut elf = Builder::new();
    let own = elf.section(".text.helper", SectionKind::Text);
    let xdp = elf.section("xdp", SectionKind::Text);
    let (helper, _) = elf.function(own, "helper", &[Insn::new(0xb7, 0, 0, 0, 7), EXIT]);
    let (_, at) = elf.function(xdp, "entry", &[CALL_FUNC, EXIT]);
    elf.relocate(xdp, at, helper, CALL);
    let spec = Object::parse(&elf.bytes()).expect("loads");
    assert_eq!(spec.programs.len(), 1);
    let insns: Vec<(u8, i32)> =
        spec.programs[0].insns.iter().map(|insn| (insn.code, insn.imm)).collect();
    assert_eq!(insns, [(0x85, 1), (0x95, 0), (0xb7, 7), (0x95, 0)]);
    let subprog = spec.programs[0].subprog_at(3).expect("subprogram");
    assert_eq!((&*subprog.name, subprog.insn_off, subprog.len), ("helper", 2, 2));
}
