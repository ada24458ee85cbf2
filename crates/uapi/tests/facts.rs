//! Every row of the fact tables is in the generated tables. The facts are read anew here, in
//! other ways than the generator reads them.

use serde_json::Value;
use uapi::{
    ArgKind, CtxClass, HELPERS, PROG_VARIANTS, ProgVariant, ctx_access, gpl_compatible, helper,
    helper_by_name, helper_facts, helper_for, map_type_facts, pointee_access, section,
};

fn facts(table: &str) -> Value {
    let path = format!("{}/../../facts/{table}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("facts are in the repository");
    serde_json::from_str(&text).expect("facts are JSON")
}

fn variant(label: &str) -> &'static ProgVariant {
    PROG_VARIANTS.iter().find(|v| v.label == label).unwrap_or_else(|| panic!("no {label}"))
}

fn words(row: &Value, field: &str) -> Vec<String> {
    let list = row[field].as_array();
    list.map(|l| l.iter().filter_map(|v| v.as_str().map(String::from)).collect())
        .unwrap_or_default()
}

#[test]
fn helpers_have_the_contracts_of_the_facts() {
    let facts = facts("helpers");
    let rows = facts["helpers"].as_array().expect("a list");
    assert_eq!(rows.len(), HELPERS.len());
    for row in rows {
        let id = row["id"].as_u64().expect("an id") as u32;
        let name = row["name"].as_str().expect("a name");
        let proto = helper(id).expect("in the table");
        assert_eq!((proto.id, &*proto.name), (id, name));
        assert_eq!(helper_by_name(name).map(|h| h.id), Some(id));
        assert_eq!(proto.gpl_only, row["gpl_only"].as_bool().expect("a flag"), "{name}");
        assert_eq!(proto.might_sleep, row["might_sleep"].as_bool().expect("a flag"), "{name}");
        assert_eq!(helper_facts(id).map(|f| f.since), row["since"].as_str(), "{name}");
        let args = words(row, "args");
        assert_eq!(proto.args.len(), args.len(), "{name}");
        for (arg, text) in proto.args.iter().zip(&args) {
            let has = |flag: &str| text.split('|').any(|w| w == flag);
            assert_eq!(arg.maybe_null, has("null"), "{name}: {text}");
            assert_eq!(arg.write, has("rw"), "{name}: {text}");
            assert_eq!(arg.uninit, has("uninit"), "{name}: {text}");
            assert_eq!(arg.release, has("release"), "{name}: {text}");
            assert_eq!(arg.size > 0, text.contains("size:"), "{name}: {text}");
            assert_eq!(arg.kind == ArgKind::Ctx, text.starts_with("ctx"), "{name}: {text}");
            assert_eq!(arg.kind == ArgKind::Mem, text.starts_with("mem"), "{name}: {text}");
        }
    }
    assert!(helper(0).is_none() && helper(212).is_none());
}

#[test]
fn helpers_are_available_where_linux_has_them() {
    let facts = facts("helpers");
    for row in facts["helpers"].as_array().expect("a list") {
        let id = row["id"].as_u64().expect("an id") as u32;
        let avail = words(row, "avail");
        for v in PROG_VARIANTS.iter().filter(|v| v.probed) {
            let plain = v.label.split(['/', '(']).next().expect("a type");
            let listed = |l: &str| avail.iter().any(|a| a == l);
            let sleeps = words(row, "only_in_sleepable").iter().any(|a| a == plain || a == v.label);
            // A check of the helper's own refuses these, for another reason than that it is absent.
            let checked = row["refused_by_type"].as_object().into_iter().flatten();
            let mut labels = checked.flat_map(|(_, list)| list.as_array().expect("labels"));
            let refused = labels.any(|l| l == v.label || l == plain);
            let expected = listed(v.label) || listed(plain) || sleeps || refused;
            assert_eq!(helper_for(id, v).is_some(), expected, "{} in {}", row["name"], v.label);
        }
    }
}

#[test]
fn contexts_are_accessed_as_in_the_facts() {
    let facts = facts("prog_types");
    let mut rows = 0;
    for (name, table) in facts["ctx_tables"].as_object().expect("tables") {
        for label in words(table, "used_by") {
            let v = variant(&label);
            if v.ctx.is_none() {
                assert!(table["rows"].is_array(), "{name}");
                continue;
            }
            let mut want = std::collections::BTreeSet::new();
            for f in table["fields"].as_array().into_iter().flatten() {
                expect_field(f, &mut want);
            }
            if want.is_empty() {
                continue;
            }
            rows += 1;
            for off in 0..256 {
                for size in [1u32, 2, 4, 8] {
                    for write in [false, true] {
                        let got = ctx_access(v, off, size, write).is_some();
                        let exp = want.contains(&(off, size, write));
                        assert_eq!(got, exp, "{label} off={off} size={size} write={write}");
                    }
                }
            }
        }
    }
    assert!(rows > 40, "{rows}");
}

/// `full`, or `read@+0:1,2,4;+1:1`.
fn expect_field(f: &Value, want: &mut std::collections::BTreeSet<(i32, u32, bool)>) {
    let (off, size) = (f[1].as_i64().expect("offset") as i32, f[2].as_u64().expect("size") as u32);
    for (text, write) in [(&f[5], false), (&f[6], true)] {
        let Some(text) = text.as_str() else { continue };
        if text == "full" {
            want.insert((off, size, write));
            continue;
        }
        for (n, item) in text.split(['@', ';']).enumerate() {
            if n == 0 {
                continue;
            }
            let (sub, sizes) = item[1..].split_once(':').expect("sizes");
            for s in sizes.split(',') {
                let at = off + sub.parse::<i32>().expect("a number");
                want.insert((at, s.parse().expect("a number"), write));
            }
        }
    }
}

#[test]
fn contexts_give_the_classes_of_the_facts() {
    let xdp = variant("XDP");
    assert_eq!(ctx_access(xdp, 0, 4, false), Some(CtxClass::Pkt));
    assert_eq!(ctx_access(xdp, 4, 4, false), Some(CtxClass::PktEnd));
    assert_eq!(ctx_access(xdp, 8, 4, false), Some(CtxClass::PktMeta));
    assert_eq!(ctx_access(xdp, 20, 4, false), None);
    assert!(ctx_access(variant("XDP/XDP_DEVMAP"), 20, 4, false).is_some());
    let nf = variant("NETFILTER");
    assert_eq!(ctx_access(nf, 8, 8, false), Some(CtxClass::TrustedBtf("sk_buff")));
    let tp = variant("TRACEPOINT");
    assert_eq!(ctx_access(tp, 0, 8, false), None);
    assert_eq!(ctx_access(tp, 8184, 8, false), Some(CtxClass::Scalar));
    assert_eq!(ctx_access(tp, 8192, 8, false), None);
    let raw = variant("RAW_TRACEPOINT_WRITABLE");
    assert_eq!(ctx_access(raw, 0, 8, false), Some(CtxClass::TpBuffer));
    assert_eq!(ctx_access(raw, 8, 4, false), Some(CtxClass::Scalar));
}

#[test]
fn pointees_are_read_as_in_the_facts() {
    let facts = facts("prog_types");
    for (name, table) in facts["pointee_tables"].as_object().expect("tables") {
        let kind = name.split(' ').next().expect("a word");
        for off in 0..160 {
            let sizes = table["read"][off.to_string()].as_array();
            for size in [1u32, 2, 4, 8] {
                let exp = sizes.is_some_and(|s| s.iter().any(|v| v == size));
                assert_eq!(
                    pointee_access(kind, off, size, false),
                    Some(exp),
                    "{kind} {off} {size}"
                );
            }
        }
    }
}

#[test]
fn variants_return_what_linux_lets_them() {
    let facts = facts("prog_types");
    for prog in facts["progs"].as_array().expect("a list") {
        for row in prog["variants"].as_array().into_iter().flatten() {
            let v = variant(row["label"].as_str().expect("a label"));
            for n in row["ret_const_ok"].as_array().into_iter().flatten() {
                let n = n.as_i64().expect("a number") as i32;
                assert!(v.ret.is_none_or(|(lo, hi)| (lo..=hi).contains(&n)), "{} {n}", v.label);
            }
            if row["ret"] == "any" {
                assert_eq!(v.ret, None, "{}", v.label);
            }
        }
    }
}

#[test]
fn sections_are_those_of_libbpf() {
    let facts = facts("prog_types");
    for prog in facts["progs"].as_array().expect("a list") {
        for row in prog["sections"].as_array().into_iter().flatten() {
            let name = row["sec"].as_str().expect("a name");
            if name.starts_with("fsession") {
                assert!(section(name).is_none_or(|(s, _)| s.name != name)); // newer than 6.18
                continue;
            }
            let (def, rest) = section(name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!((def.name, rest), (name, None));
            assert_eq!(Some(def.prog_type as u64), prog["id"].as_u64());
            let slashed = format!("{name}/target");
            let exact = row["form"] == "exact";
            let hit = section(&slashed).filter(|(s, _)| s.name == name);
            assert_eq!(hit.is_none(), exact, "{name}");
        }
    }
    assert_eq!(section("xdp").map(|s| s.0.attach), Some(37));
    assert_eq!(section("xdp.frags").map(|s| s.0.flags), Some(0x20));
    assert_eq!(section("uprobe.s/x").map(|s| s.0.flags), Some(0x10));
    assert_eq!(section("kprobe/a/b").map(|s| s.1), Some(Some("a/b")));
    assert!(section("kprobes").is_none() && section("").is_none());
}

#[test]
fn map_types_take_their_helpers() {
    let facts = facts("map_types");
    for row in facts["maps"].as_array().expect("a list") {
        let id = row["id"].as_u64().expect("an id") as u32;
        let map = map_type_facts(uapi::MapType::from_raw(id).expect("a map type"));
        assert_eq!(map.map_type.raw(), id);
        assert_eq!(Some(map.since), row["since"].as_str());
        for name in words(row, "prog_helpers").iter().filter(|n| n.starts_with("bpf_")) {
            let word = name.split(' ').next().expect("a word");
            let helper = helper_by_name(word).expect("a helper").id;
            assert!(map.helpers.contains(&helper), "{name}");
        }
    }
}

#[test]
fn licences_open_what_linux_opens() {
    for row in facts("prog_types")["gpl_compatible_strings"].as_array().expect("a list") {
        let text = row[0].as_str().expect("a licence");
        assert_eq!(Some(gpl_compatible(text)), row[1].as_bool(), "{text}");
    }
}

#[test]
fn tracepoints_arguments_are_those_of_the_facts() {
    let facts = facts("tp_btf_args");
    let mut rows = 0;
    for (name, args) in facts["args"].as_object().expect("tracepoints") {
        for (index, what) in args.as_object().expect("arguments") {
            let index = index.parse().expect("a number");
            let (null, error) = uapi::tracepoint_argument(name, index);
            assert_eq!((null, error), (what == "null", what == "error"), "{name} {index}");
            rows += 1;
        }
    }
    assert_eq!(rows, uapi::TRACEPOINT_ARGS.len());
    assert_eq!(uapi::tracepoint_argument("sched_switch", 1), (false, false));
}
