//! Loads: attach types, flags, results, and what section names and licences mean.

use runtime::door::ProgLoad;
use serde_json::Value;
use uapi::ProgType;

use super::super::variant::{self, EXIT, Variant, mov, rows, verdict};
use super::{Ask, text};

const CONSTANTS: [i32; 15] = [-4096, -4095, -100, -2, -1, 0, 1, 2, 3, 4, 5, 7, 10, 100, i32::MAX];
const SLEEPABLE: u32 = 1 << 4;
/// Any attach type that Linux knows, and one that it does not.
const ATTACH_TYPES: std::ops::Range<u32> = 0..59;

/// Asks everything about loads.
pub(super) fn ask(ask: &mut Ask<'_>) -> Result<(), String> {
    for variant in &ask.variants.all {
        results(ask, variant);
    }
    let facts = &ask.variants.facts;
    for prog in rows(&facts["progs"]) {
        variants(ask, prog)?;
        attach_types(ask, prog)?;
        sections(ask, prog);
    }
    for (flags, answers) in facts["load_flags_probe"].as_object().into_iter().flatten() {
        load_flags(ask, flags, answers);
    }
    for pair in rows(&facts["gpl_compatible_strings"]) {
        let (license, want) = (text(&pair[0]), pair[1] == true);
        // bpf_trace_printk is for GPL-compatible programs alone.
        let call = [isa::Insn::new(0x85, 0, 0, 0, 6), EXIT];
        let mut request = load(&ask.variants.all[0], &call);
        request.license = license.into();
        let answer = verdict(&variant::load(ask.asked.bpf, &request));
        let got = !answer.contains("GPL-restricted function");
        let what = format!("GPL-compatible: {license:?}");
        ask.case("licences", "loads", what, &want.to_string(), got.to_string());
    }
    Ok(())
}

fn load(variant: &Variant, insns: &[isa::Insn]) -> ProgLoad {
    variant.request(insns)
}

/// Which constants may be returned, and what is said of a number that is not known.
fn results(ask: &mut Ask<'_>, variant: &Variant) {
    let facts = &ask.variants.facts;
    let row = rows(&facts["progs"])
        .flat_map(|p| rows(&p["variants"]))
        .find(|row| row["label"] == variant.label.as_str());
    let Some(row) = row else { return };
    for value in CONSTANTS {
        let known = rows(&row["ret_const_ok"]).any(|v| v.as_i64() == Some(value.into()));
        let answer = variant::load(ask.asked.bpf, &load(variant, &[mov(0, value), EXIT]));
        let what = format!("{}: return {value}", variant.label);
        let got = if answer.is_ok() { "OK" } else { "refused" };
        let want = if known { "OK" } else { "refused" };
        ask.case(&variant.name, "results", what, want, got.into());
    }
    let range = text(&row["ret"]);
    if range.starts_with("??") {
        return;
    }
    // bpf_get_prandom_u32 gives a number that is not known.
    let unknown = [isa::Insn::new(0x85, 0, 0, 0, 7), EXIT];
    let got = match variant::load(ask.asked.bpf, &load(variant, &unknown)) {
        Ok(_) => "any".into(),
        Err(e) => variant::last_line(&e.log)
            .rsplit_once("should have been in ")
            .map_or_else(|| e.to_string(), |(_, range)| range.to_owned()),
    };
    let what = format!("{}: return of an unknown number", variant.label);
    ask.case(&variant.name, "results", what, range, got);
}

/// The load itself and with BPF_F_SLEEPABLE.
fn variants(ask: &mut Ask<'_>, prog: &Value) -> Result<(), String> {
    const CANNOT: &str = "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs \
                          can be sleepable";
    for row in rows(&prog["variants"]) {
        let variant = Variant::of(prog, row, &ask.asked.types)?;
        let label = &variant.label;
        // What the machine of the facts has not, or does not let in, says nothing of Linux.
        if row["load"] != "OK" {
            continue;
        }
        let answer = variant::load(ask.asked.bpf, &load(&variant, &variant.done()));
        ask.case(&variant.name, "loads", label.clone(), "OK", verdict(&answer));
        let want = match text(&row["sleepable_flag"]) {
            "ok" => "OK".to_owned(),
            "refused" if variant.prog_type == ProgType::StructOps => "refused".into(),
            "refused" => format!("EINVAL: {CANNOT}"),
            _ => continue,
        };
        let mut request = load(&variant, &variant.done());
        request.flags |= SLEEPABLE;
        let got = match verdict(&variant::load(ask.asked.bpf, &request)) {
            got if want == "refused" && got != "OK" => want.clone(),
            got => got,
        };
        ask.case(&variant.name, "loads", format!("{label}: BPF_F_SLEEPABLE"), &want, got);
    }
    Ok(())
}

/// Every attach type with the type's plain load.
fn attach_types(ask: &mut Ask<'_>, prog: &Value) -> Result<(), String> {
    let recorded = &prog["expected_attach_type_accepted_at_load"];
    let Some(row) = rows(&prog["variants"]).find(|row| row["load"] == "OK") else { return Ok(()) };
    let plain = Variant::of(prog, row, &ask.asked.types)?;
    // Programs of these are named by the kernel's types too: only their own attach type fits.
    if recorded.is_null() || matches!(plain.prog_type, ProgType::Tracing | ProgType::StructOps) {
        return Ok(());
    }
    for attach in ATTACH_TYPES {
        let known = recorded.is_string() || rows(recorded).any(|n| *n == attach);
        let variant = Variant { attach, ..plain.clone() };
        // A result of 1 is in the range of every type that has one.
        let got = match variant::load(ask.asked.bpf, &load(&variant, &[mov(0, 1), EXIT])) {
            Ok(_) => "OK",
            Err(_) => "refused",
        };
        let what = format!("expected_attach_type {attach}");
        let want = if known { "OK" } else { "refused" };
        ask.case(&plain.name, "loads", what, want, got.into());
    }
    Ok(())
}

/// Section names as libbpf reads them, alone and with a target behind.
fn sections(ask: &mut Ask<'_>, prog: &Value) {
    if !ask.asked.ours {
        return;
    }
    let name = text(&prog["name"]).to_owned();
    let id = prog["id"].as_u64().unwrap_or(0);
    for row in rows(&prog["sections"]) {
        let section = text(&row["sec"]);
        let attach = text(&row["eat"]);
        // libbpf knows attach types that this Linux does not have yet.
        let Some(number) = ask.attach_type(attach) else { continue };
        let sleeps = row["sleepable"] == true;
        let want = format!("type {id} attach {number} sleepable {sleeps}");
        ask.case(&name, "sections", section.into(), &want, meaning(section));
        let with_target = format!("{section}/x");
        if text(&row["form"]) == "exact_or_slash" {
            ask.case(&name, "sections", with_target.clone(), &want, meaning(&with_target));
        }
    }
}

fn meaning(section: &str) -> String {
    match uapi::section(section) {
        None => "none".into(),
        Some((def, _)) => format!(
            "type {} attach {} sleepable {}",
            def.prog_type as u32,
            def.attach,
            def.flags & SLEEPABLE != 0
        ),
    }
}

impl Ask<'_> {
    /// The number of an attach type without its prefix; 0 where none is said.
    fn attach_type(&self, name: &str) -> Option<u64> {
        if name.is_empty() {
            return Some(0);
        }
        let full = format!("BPF_{name}");
        let mut all = rows(&self.variants.facts["attach_types"]);
        all.find(|row| row["name"] == full.as_str())?["id"].as_u64()
    }
}

/// `prog_flags` one bit at a time.
fn load_flags(ask: &mut Ask<'_>, flags: &str, answers: &Value) {
    let Ok(bits) = u32::from_str_radix(flags.trim_start_matches("0x"), 16) else { return };
    for (label, want) in answers.as_object().into_iter().flatten() {
        let Some(variant) = ask.variants.all.iter().find(|v| v.label == *label) else { continue };
        let mut request = load(variant, &variant.done());
        request.flags = bits;
        let got = verdict(&variant::load(ask.asked.bpf, &request));
        let name = variant.name.clone();
        ask.case(&name, "loads", format!("{label}: prog_flags {flags}"), text(want), got);
    }
}
