//! Loads and stores of the context by every program variant: accepted where Linux was seen to.

mod common;

use common::{facts, message, program, variant, verify, world};
use isa::Insn;
use uapi::{PROG_VARIANTS, ctx_access};
use verifier::World;

/// `r6 = r1; access; r0 = 0 or 1; exit`.
fn access(v: &uapi::ProgVariant, off: i16, size: u32, write: bool, world: &World) -> String {
    let code = match size {
        1 => 0x10,
        2 => 0x08,
        4 => 0x00,
        _ => 0x18,
    };
    let touch = if write {
        Insn::new(0x63 | code, 1, 2, off, 0)
    } else {
        Insn::new(0x61 | code, 2, 1, off, 0)
    };
    let ret = v.ret.map_or(0, |(low, _)| low);
    let insns = vec![
        Insn::new(0xb7, 2, 0, 0, 0),
        touch,
        Insn::new(0xb7, 0, 0, 0, ret),
        Insn::new(0x95, 0, 0, 0, 0),
    ];
    message(&verify(&program(v, insns), world))
}

#[test]
fn contexts_are_accessed_as_linux_lets_them() {
    let world = world();
    let table = facts("prog_types");
    let mut rows = 0;
    for (_, t) in table["ctx_tables"].as_object().expect("tables") {
        let structure = t["struct"].as_str().unwrap_or("");
        let end = table["structs"][structure]["size"].as_i64().unwrap_or(64) as i16 + 8;
        for label in t["used_by"].as_array().expect("labels") {
            let v = variant(label.as_str().expect("a label"));
            if v.ctx.is_none() {
                continue; // typed by the kernel's BTF
            }
            for off in 0..end {
                for size in [1, 2, 4, 8] {
                    for write in [false, true] {
                        let got = access(v, off, size, write, &world);
                        let refused = format!("invalid bpf_context access off={off} size={size}");
                        let ok = ctx_access(v, off.into(), size, write).is_some();
                        let want = if ok { "" } else { refused.as_str() };
                        assert_eq!(got, want, "{} off={off} size={size} write={write}", v.label);
                        rows += 1;
                    }
                }
            }
        }
    }
    assert!(rows > 50_000, "{rows}");
}

#[test]
fn constants_are_returned_as_linux_lets_them() {
    let world = world();
    let table = facts("prog_types");
    let tried = [-4096, -4095, -100, -2, -1, 0, 1, 2, 3, 4, 5, 7, 10, 100, 0x7fff_ffff];
    for prog in table["progs"].as_array().expect("a list") {
        for row in prog["variants"].as_array().into_iter().flatten() {
            let v = variant(row["label"].as_str().expect("a label"));
            if row["load"] != "OK" || v.ctx.is_none() {
                continue;
            }
            for n in tried {
                let insns = vec![Insn::new(0xb7, 0, 0, 0, n), Insn::new(0x95, 0, 0, 0, 0)];
                let got = message(&verify(&program(v, insns), &world));
                let ok = row["ret_const_ok"].as_array().expect("a list").iter().any(|x| *x == n);
                assert_eq!(got.is_empty(), ok, "{} returns {n}: {got}", v.label);
                if let (Some((low, high)), false) = (v.ret, ok) {
                    assert_eq!(
                        got,
                        format!(
                            "At program exit the register R0 has smin={n} smax={n} should have been in [{low}, {high}]"
                        )
                    );
                }
            }
        }
    }
}

#[test]
fn sleepable_programs_are_those_that_linux_lets_sleep() {
    let world = world();
    let table = facts("prog_types");
    let refusal = table["sleepable_refusal"].as_str().expect("a text").to_string();
    for prog in table["progs"].as_array().expect("a list") {
        for row in prog["variants"].as_array().into_iter().flatten() {
            let v = variant(row["label"].as_str().expect("a label"));
            if v.ctx.is_none() || row["sleepable_flag"].is_null() {
                continue;
            }
            let ret = v.ret.map_or(0, |(low, _)| low);
            let insns = vec![Insn::new(0xb7, 0, 0, 0, ret), Insn::new(0x95, 0, 0, 0, 0)];
            let mut p = program(v, insns);
            p.flags |= 0x10;
            let got = message(&verify(&p, &world));
            let want = if row["sleepable_flag"] == "ok" { "" } else { refusal.as_str() };
            assert_eq!(got, want, "{}", v.label);
        }
    }
}

#[test]
fn every_probed_variant_loads_an_empty_program() {
    let world = world();
    for v in PROG_VARIANTS.iter().filter(|v| v.probed && v.ctx.is_some()) {
        let ret = v.ret.map_or(0, |(low, _)| low);
        let insns = vec![Insn::new(0xb7, 0, 0, 0, ret), Insn::new(0x95, 0, 0, 0, 0)];
        let got = message(&verify(&program(v, insns), &world));
        assert_eq!(got, "", "{}", v.label);
    }
}
