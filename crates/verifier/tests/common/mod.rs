//! Small programs for the tests of fact rows.

use std::sync::Arc;

use btf::{Btf, BtfBuilder, Encoding, Linkage, NewMember};
use isa::Insn;
use uapi::{MapDef, MapType, PROG_VARIANTS, ProgVariant};
use verifier::{FuncInfo, LogOptions, MapInfo, Outcome, Policy, Program, World};

/// A fact table of the repository.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn facts(table: &str) -> serde_json::Value {
    let path = format!("{}/../../facts/{table}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("facts are in the repository");
    serde_json::from_str(&text).expect("facts are JSON")
}

/// The row of the tables with this label.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn variant(label: &str) -> &'static ProgVariant {
    PROG_VARIANTS.iter().find(|v| v.label == label).unwrap_or_else(|| panic!("no {label}"))
}

/// A GPL program of this variant.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn program(v: &ProgVariant, insns: Vec<Insn>) -> Program {
    let sleepable = v.sleepable || v.prog_type == uapi::ProgType::Syscall;
    Program {
        prog_type: Some(v.prog_type),
        expected_attach_type: v.attach.unwrap_or(0).max(default_attach(v)),
        flags: if sleepable { 0x10 } else { 0 },
        license: "GPL".into(),
        insns,
        ..Program::default()
    }
}

/// Types whose only attach type is checked at load.
fn default_attach(v: &ProgVariant) -> u32 {
    match uapi::prog_type_facts(v.prog_type).attach_types {
        [only] if v.attach.is_none() => *only,
        _ => 0,
    }
}

/// Slots of a text.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn asm(text: &str) -> Vec<Insn> {
    isa::asm::assemble(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Maps by descriptor: 1 hash, 2 array, 3 frozen read-only array, 4 ring buffer, 5 queue,
/// 6 hash of 8-byte values, 7 socket storage.
pub(crate) fn world() -> World {
    let map = |fd, def: MapDef| MapInfo {
        fd,
        def,
        btf: None,
        inner_btf: None,
        frozen: false,
        value: None,
    };
    let mut rodata = map(3, MapDef::new(MapType::Array, 4, 16, 1));
    rodata.def.flags = uapi::map_flags::RDONLY_PROG;
    rodata.frozen = true;
    rodata.value = Some(b"text\0.......... ".to_vec());
    World {
        maps: vec![
            map(1, MapDef::new(MapType::Hash, 4, 16, 8)),
            map(2, MapDef::new(MapType::Array, 4, 16, 8)),
            rodata,
            map(4, MapDef::new(MapType::Ringbuf, 0, 0, 4096)),
            map(5, MapDef::new(MapType::Queue, 0, 8, 8)),
            map(6, MapDef::new(MapType::Hash, 4, 8, 8)),
            map(7, MapDef::new(MapType::SkStorage, 4, 8, 0)),
            map(8, MapDef::new(MapType::Array, 4, 16, 1)),
        ],
        kernel_btf: Some(kernel_btf()),
        host_helpers: Vec::new(),
    }
}

/// The few structures of the kernel that the tests' programs name, with room for loads.
fn kernel_btf() -> Arc<Btf> {
    let mut b = BtfBuilder::new();
    let word = b.int("unsigned long", 8, Encoding::default());
    let words = b.array(word, word, 512);
    let all = [NewMember { name: "words", type_id: words, bit_offset: 0, bitfield_size: 0 }];
    for name in ["task_struct", "sock_common", "nf_hook_state", "sk_buff", "tcp_sock", "pt_regs"] {
        b.structure(name, 4096, &all);
    }
    Arc::new(b.build().expect("well-formed"))
}

/// What the verifier says, as root.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn verify(program: &Program, world: &World) -> Outcome {
    verifier::verify(
        program,
        world,
        &Policy::default(),
        &LogOptions { level: 1, ..LogOptions::default() },
    )
}

/// The last line of a rejection; empty if accepted.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn message(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Ok(_) => String::new(),
        Err(r) => r.message.lines().last().unwrap_or("").to_string(),
    }
}

/// BTF for the main program and one static callback after it: both return int.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn describe_subprogs(program: &mut Program) {
    let mut b = BtfBuilder::new();
    let int = b.int("int", 4, Encoding { signed: true, ..Encoding::default() });
    let proto = b.func_proto(int, &[]);
    let ids = ["main", "callback"].map(|name| b.func(name, proto, Linkage::Static));
    program.btf = Some(Arc::new(b.build().expect("well-formed")));
    let start = program.insns.len() as u32 - 2;
    program.func_info = [0, start]
        .iter()
        .zip(ids)
        .map(|(at, id)| FuncInfo { insn_off: *at, type_id: id.0 })
        .collect();
}
