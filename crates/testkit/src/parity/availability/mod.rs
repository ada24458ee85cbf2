//! Which programs may call which helper: by type, licence, sleep and capability.

mod capability;

use isa::Insn;
use serde_json::Value;

use super::variant::{self, EXIT, Variant, Variants, rows};
use super::{Asked, Case, Table};

/// The table of helpers' availability.
pub const TABLE: Table = Table {
    name: "availability",
    replay,
    detail: None,
    on_kernel: true,
    head: "# Availability of helpers and Linux 6.18\n\nEach of the 211 helpers of \
           `facts/helpers.json` in each variant of program: allowed, or refused in Linux's words. \
           \"licence\": the same in a program that is not GPL-compatible. \"capabilities\": which \
           programs, maps and helpers a loader has that holds a part of root's capabilities \
           (`facts/capabilities.json`). Made by `cargo xtask parity`; with `--kernel` the running \
           Linux is asked the same.",
};

/// What a call may be refused with; any other complaint is about its arguments.
const REFUSALS: &[&str] = &[
    "program of this type cannot use helper ",
    "cannot call GPL-restricted function from non-GPL compatible program",
    "helper call is not allowed in probe",
    "helper call might sleep in a non-sleepable prog",
    "func bpf_get_func_ip#173 ",
];
const ALLOWED: &str = "allowed";

/// Asks everything.
pub fn replay(asked: &Asked<'_>) -> Result<Vec<Case>, String> {
    let variants = Variants::read(&asked.types)?;
    let facts = super::facts("helpers.json")?;
    let probed: Vec<&str> = rows(&facts["_probed_variants"]).filter_map(Value::as_str).collect();
    let mut cases = Vec::new();
    for variant in variants.all.iter().filter(|v| probed.contains(&v.label.as_str())) {
        for helper in rows(&facts["helpers"]) {
            let want = want(helper, variant);
            let mut case = |group, want: String, license| {
                cases.push(Case {
                    subject: variant.name.clone(),
                    group,
                    what: format!("{}: {}", variant.label, name(helper)),
                    got: call(asked, variant, id(helper), license),
                    want,
                });
            };
            if want == ALLOWED && !matches!(variant.prog_type, uapi::ProgType::StructOps) {
                case("licence", licensed(helper, variant), "MIT");
            }
            case("programs", want, "GPL");
        }
    }
    if asked.ours {
        capability::ask(&variants, &facts, &mut cases)?;
    }
    Ok(cases)
}

fn id(helper: &Value) -> i32 {
    helper["id"].as_i64().unwrap_or(0) as i32
}

fn name(helper: &Value) -> &str {
    helper["name"].as_str().unwrap_or_default()
}

/// Whether a list of types and variants holds this one.
fn holds(list: &Value, variant: &Variant) -> bool {
    rows(list).any(|l| *l == variant.label || *l == variant.name)
}

fn want(helper: &Value, variant: &Variant) -> String {
    if let Some(said) = by_type(helper, variant) {
        return said.to_owned();
    }
    if holds(&helper["refused_by_extra_check"], variant) {
        REFUSALS[2].into()
    } else if holds(&helper["avail"], variant) {
        ALLOWED.into()
    } else if !variant.sleepable && holds(&helper["only_in_sleepable"], variant) {
        REFUSALS[3].into()
    } else {
        format!("{}{}#{}", REFUSALS[0], name(helper), id(helper))
    }
}

/// What is said where the type has the helper, but a check of the helper's own refuses it.
fn by_type<'a>(helper: &'a Value, variant: &Variant) -> Option<&'a str> {
    let rules = helper["refused_by_type"].as_object().into_iter().flatten();
    rules.filter(|(_, list)| holds(list, variant)).map(|(said, _)| said.as_str()).next()
}

/// What a program under another licence hears.
fn licensed(helper: &Value, variant: &Variant) -> String {
    let multi = variant.label.contains("_MULTI") || variant.label.contains("_SESSION");
    let free = match name(helper) {
        "bpf_get_stackid" => variant.name == "PERF_EVENT",
        "bpf_get_func_ip" => multi,
        _ => false,
    };
    let gpl = helper["gpl_only"] == true && !free;
    if gpl { REFUSALS[1].into() } else { ALLOWED.into() }
}

/// Calls the helper with nothing in its registers.
fn call(asked: &Asked<'_>, variant: &Variant, helper: i32, license: &str) -> String {
    answer(asked.bpf, variant, helper, license)
}

fn answer(bpf: &dyn runtime::door::Bpf, variant: &Variant, helper: i32, license: &str) -> String {
    let mut request = variant.request(&[Insn::new(0x85, 0, 0, 0, helper), EXIT]);
    request.license = license.into();
    request.log.size = 1 << 12;
    let Err(refused) = variant::load(bpf, &request) else { return ALLOWED.into() };
    let line = variant::last_line(&refused.log);
    match REFUSALS.iter().any(|text| line.starts_with(text)) {
        true => line.into(),
        false if line.is_empty() => refused.errno.to_string(),
        false => ALLOWED.into(),
    }
}
