//! What a loader with a part of root's capabilities may do.

use runtime::door::{Bpf, BtfLoad, MapCreate};
use runtime::{Config, Engine, Runtime};
use serde_json::Value;
use uapi::{Errno, MapDef, MapType};
use verifier::Policy;

use super::super::variant::{self, Variant, Variants, rows};
use super::{Case, answer, id, name, want};

const GROUP: &str = "capabilities";

/// The recorded sets, each asked of a runtime whose loader holds it.
pub(super) fn ask(
    variants: &Variants,
    helpers: &Value,
    cases: &mut Vec<Case>,
) -> Result<(), String> {
    let facts = super::super::facts("capabilities.json")?;
    for (set, row) in facts.as_object().into_iter().flatten() {
        if set.starts_with('_') {
            continue;
        }
        let runtime = holding(set);
        programs(&runtime, set, row, variants, cases);
        maps(&runtime, set, row, cases);
        calls(&runtime, set, row, variants, helpers, cases);
    }
    Ok(())
}

fn holding(set: &str) -> Runtime {
    let has = |name: &str| set.split('+').any(|n| n == name) || set == "SYS_ADMIN";
    let policy = Policy {
        cap_bpf: has("BPF"),
        cap_perfmon: has("PERFMON"),
        cap_net_admin: has("NET_ADMIN"),
        cap_sys_admin: has("SYS_ADMIN"),
        ..Policy::default()
    };
    Runtime::new(Config { policy, engine: Engine::Interp, ..super::super::config() })
}

fn case(set: &str, what: String, want: &str, got: String) -> Case {
    Case { subject: format!("CAP: {set}"), group: GROUP, what, want: want.into(), got }
}

/// The first variant of a recorded type.
fn first<'a>(variants: &'a Variants, name: &str) -> Option<&'a Variant> {
    let by_label = variants.all.iter().find(|v| v.label == name);
    by_label.or_else(|| variants.all.iter().find(|v| v.name == name))
}

fn programs(runtime: &Runtime, set: &str, row: &Value, variants: &Variants, cases: &mut Vec<Case>) {
    for (want, names) in row["prog_load"].as_object().into_iter().flatten() {
        for name in rows(names).filter_map(Value::as_str) {
            let Some(variant) = first(variants, name) else { continue };
            let got = match variant::load(runtime, &variant.request(&variant.done())) {
                Ok(_) => "OK".into(),
                Err(e) => e.errno.to_string(),
            };
            cases.push(case(set, format!("load {name}"), want, got));
        }
    }
}

fn maps(runtime: &Runtime, set: &str, row: &Value, cases: &mut Vec<Case>) {
    let facts = super::super::facts("map_types.json").unwrap_or_default();
    for (want, names) in row["map_create"].as_object().into_iter().flatten() {
        for name in rows(names).filter_map(Value::as_str) {
            let full = format!("BPF_MAP_TYPE_{name}");
            let Some(map_type) = MapType::ALL.iter().find(|t| t.name() == full) else { continue };
            let base = rows(&facts["maps"]).find(|row| row["name"] == name);
            let base = base.map_or(&Value::Null, |row| &row["create"]["base"]["params"]);
            let number = |name: &str| base[name].as_u64().unwrap_or(0) as u32;
            let (key, value, entries) = (number("ks"), number("vs"), number("me"));
            let mut def = MapDef::new(*map_type, key, value, entries);
            def.flags = number("flags");
            // Any other complaint comes after the question of rights.
            let got = match runtime.map_create(&MapCreate::from(def)) {
                Err(Errno::EPERM) => "EPERM".into(),
                _ => "OK".into(),
            };
            cases.push(case(set, format!("create {name}"), want, got));
        }
    }
    let got = match runtime.btf_load(&BtfLoad::default()) {
        Err(e) if e.errno == Errno::EPERM => "EPERM".into(),
        _ => "OK".into(),
    };
    let want = row["btf_load"].as_str().unwrap_or_default();
    cases.push(case(set, "load BTF".into(), want, got));
}

/// Helpers in the types that this loader may load.
fn calls(
    runtime: &Runtime,
    set: &str,
    row: &Value,
    variants: &Variants,
    helpers: &Value,
    cases: &mut Vec<Case>,
) {
    for missing in rows(&row["helpers_missing"]) {
        let gone: Vec<&str> = rows(&missing["helpers"]).filter_map(Value::as_str).collect();
        for prog in rows(&missing["in_"]).filter_map(Value::as_str) {
            let Some(variant) = first(variants, prog) else { continue };
            for helper in rows(&helpers["helpers"]) {
                let short = name(helper).trim_start_matches("bpf_");
                let want = match gone.contains(&short) {
                    true => format!("{}{}#{}", super::REFUSALS[0], name(helper), id(helper)),
                    false => want(helper, variant),
                };
                let got = answer(runtime, variant, id(helper), "GPL");
                cases.push(case(set, format!("{prog}: {}", name(helper)), &want, got));
            }
        }
    }
}
