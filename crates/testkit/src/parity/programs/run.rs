//! Test runs: every input of every type that has them, and their special cases.

use runtime::door::{Fd, TestRun, TestRunOut};
use serde_json::Value;
use uapi::Errno;

use super::super::variant::{Variant, rows};
use super::{Ask, text};

const GROUP: &str = "test runs";
const LIVE_FRAMES: u32 = 2;

/// Asks all test runs.
pub(super) fn ask(ask: &mut Ask<'_>) {
    let facts = &ask.variants.facts;
    for group in rows(&facts["progs"]).flat_map(|prog| rows(&prog["test_run"])) {
        for label in rows(&group["variants"]).filter_map(Value::as_str) {
            let variant = ask.variants.all.iter().find(|v| v.label == label);
            if let Some(variant) = variant {
                of_variant(ask, variant, &group["result"]);
            }
        }
    }
    words(ask, "SCHED_CLS", 192);
    words(ask, "XDP", 24);
    words(ask, "FLOW_DISSECTOR", 56);
    words(ask, "NETFILTER", 48);
    special(ask);
}

fn loaded(ask: &Ask<'_>, variant: &Variant) -> Option<Fd> {
    ask.asked.bpf.prog_load(&variant.request(&variant.done())).ok().map(|loaded| loaded.fd)
}

fn of_variant(ask: &mut Ask<'_>, variant: &Variant, result: &Value) {
    let bpf = ask.asked.bpf;
    let Some(prog) = loaded(ask, variant) else {
        let what = format!("{}: load", variant.label);
        return ask.case(&variant.name, GROUP, what, "OK", "refused".into());
    };
    if let Some(unsupported) = result.as_str() {
        let want = if unsupported.contains("524") { "ENOTSUPP" } else { "EOPNOTSUPP" };
        let got = answer(&bpf.test_run(prog, &packet(64)), "");
        ask.case(&variant.name, GROUP, format!("{}: any", variant.label), want, got);
    }
    for (what, want) in result.as_object().into_iter().flatten() {
        let (Some(run), Some(want)) = (input(what), want.as_str()) else { continue };
        let got = answer(&bpf.test_run(prog, &run), want);
        ask.case(&variant.name, GROUP, format!("{}: {what}", variant.label), want, got);
    }
    for (what, want) in result["ctx_in"].as_object().into_iter().flatten() {
        context(ask, variant, prog, what, text(want));
    }
    let _ = bpf.close(prog);
}

fn packet(len: usize) -> TestRun {
    TestRun { data_in: Some(vec![0; len]), data_out: Some(1 << 20), ..TestRun::default() }
}

/// What the probe of the facts did under this name.
fn input(what: &str) -> Option<TestRun> {
    let run = match what {
        "no_data" => TestRun::default(),
        "repeat2" => TestRun { repeat: 2, ..packet(64) },
        "repeat1000" => TestRun { repeat: 1000, ..packet(64) },
        "data_out_short" => TestRun { data_out: Some(10), ..packet(64) },
        "batch1" => TestRun { batch_size: 1, ..packet(64) },
        _ => match what.strip_prefix("flags") {
            Some(flags) => match flags.strip_suffix("_nodata") {
                Some(flags) => TestRun { flags: flags.parse().ok()?, ..TestRun::default() },
                // The probe asked for nothing back, which live frames cannot give.
                None if flags == "2" => {
                    TestRun { flags: LIVE_FRAMES, data_out: None, ..packet(64) }
                }
                None => TestRun { flags: flags.parse().ok()?, ..packet(64) },
            },
            None => packet(what.strip_prefix("data_")?.parse().ok()?),
        },
    };
    Some(run)
}

fn answer(result: &Result<TestRunOut, Errno>, want: &str) -> String {
    match result {
        Ok(out) if out.truncated => format!("ENOSPC size_out={}", out.data_size_out),
        Ok(out) if want.contains("size_out=") => format!("OK size_out={}", out.data_size_out),
        Ok(out) if want.contains("out=") => format!("OK out={}", out.data_size_out),
        Ok(_) => "OK".into(),
        // The probe printed the size it had given, untouched.
        Err(errno) if want.contains("size_out=") => format!("{errno} size_out=10"),
        Err(errno) => errno.to_string(),
    }
}

fn outcome(result: &Result<TestRunOut, Errno>) -> String {
    match result {
        Ok(out) if out.truncated => "ENOSPC".into(),
        Ok(_) => "OK".into(),
        Err(errno) => errno.to_string(),
    }
}

/// A context of one size, filled with one byte, with a packet and without.
fn context(ask: &mut Ask<'_>, variant: &Variant, prog: Fd, what: &str, want: &str) {
    let Some((size, fill)) = what.strip_prefix("ctx").and_then(|t| t.split_once("_fill")) else {
        return;
    };
    let (Ok(size), Ok(fill)) = (size.parse::<usize>(), fill.parse()) else { return };
    let Some((with, without)) = want.split_once("/nodata:") else { return };
    // Socket buffers and XDP were asked for the context back, in the same size.
    let back = !matches!(variant.name.as_str(), "SYSCALL" | "RAW_TRACEPOINT");
    let ctx_out = back.then_some(size as u32);
    let run = TestRun { ctx_in: Some(vec![fill; size]), ctx_out, ..TestRun::default() };
    let full = TestRun { data_in: Some(vec![0; 64]), data_out: Some(1 << 20), ..run.clone() };
    for (run, want, which) in [(full, with, "with a packet"), (run, without, "without")] {
        let got = outcome(&ask.asked.bpf.test_run(prog, &run));
        let what = format!("{}: {what} {which}", variant.label);
        ask.case(&variant.name, GROUP, what, want, got);
    }
}

fn variant_of<'a>(ask: &Ask<'a>, name: &str) -> Option<(&'a Variant, Fd)> {
    let variant = ask.variants.all.iter().find(|v| v.name == name)?;
    Some((variant, loaded(ask, variant)?))
}

/// A context in which one word is 1, at each offset.
fn words(ask: &mut Ask<'_>, name: &str, size: usize) {
    let facts = &ask.variants.facts["test_run_details"][name];
    let Some((variant, prog)) = variant_of(ask, name) else { return };
    for (at, want) in facts.as_object().into_iter().flatten() {
        let Ok(at) = at.parse::<usize>() else { continue };
        let mut ctx = vec![0; size];
        ctx[at] = 1;
        let run = TestRun { ctx_in: Some(ctx), ctx_out: None, ..packet(64) };
        let got = outcome(&ask.asked.bpf.test_run(prog, &run));
        let what = format!("{}: context word {at} is 1", variant.label);
        ask.case(name, GROUP, what, text(want), got);
    }
    let _ = ask.asked.bpf.close(prog);
}

fn special(ask: &mut Ask<'_>) {
    let details = &ask.variants.facts["test_run_details"];
    xdp(ask, &details["XDP_cases"]);
    lookups(ask, &details["SK_LOOKUP"]);
    cpus(ask, &details["RAW_TRACEPOINT"]);
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

/// `struct xdp_md` by names of its members, and live frames.
fn xdp(ask: &mut Ask<'_>, cases: &Value) {
    let Some((variant, prog)) = variant_of(ask, "XDP") else { return };
    for (what, want) in cases.as_object().into_iter().flatten() {
        let number = |name: &str| {
            let at = what.find(&format!("{name}="))? + name.len() + 1;
            let digits: String = what[at..].chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok()
        };
        let got = if what.starts_with("LIVE_FRAMES") {
            let (batch_size, repeat) =
                (number("batch").unwrap_or(0), number("repeat").unwrap_or(0));
            let run = TestRun { flags: LIVE_FRAMES, batch_size, repeat, ..packet(64) };
            let run = TestRun { data_out: None, ..run };
            ask.asked.bpf.test_run(prog, &run)
        } else {
            let index = |word: &str| what.split(' ').any(|w| w.starts_with(word));
            let md = [
                number("data").filter(|_| index("data=") || what.starts_with("data=")).unwrap_or(0),
                number("data_end").unwrap_or(64),
                number("data_meta").unwrap_or(0),
                number("ingress_ifindex").or(number("ifindex")).unwrap_or(0),
                number("rxq").unwrap_or(0),
                number("egress").unwrap_or(0),
            ];
            let ctx_in = Some(bytes(&md));
            ask.asked.bpf.test_run(prog, &TestRun { ctx_in, ctx_out: Some(24), ..packet(64) })
        };
        let (want, got) = match want {
            Value::String(want) => (want.clone(), outcome(&got)),
            list => (shown(list), with_context(&got)),
        };
        ask.case(&variant.name, GROUP, what.clone(), &want, got);
    }
    let _ = ask.asked.bpf.close(prog);
}

/// `OK [words]`, or the error.
fn shown(list: &Value) -> String {
    match list[1].is_array() {
        true => format!("{} {}", text(&list[0]), list[1]).replace(' ', ""),
        false => text(&list[0]).to_owned(),
    }
}

fn with_context(answer: &Result<TestRunOut, Errno>) -> String {
    let Ok(out) = answer else { return outcome(answer) };
    let (words, _) = out.ctx_out.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|w| u32::from_ne_bytes(*w)).collect();
    format!("OK {}", serde_json::json!(words)).replace(' ', "")
}

/// `struct bpf_sk_lookup`: families, protocols, one word set.
fn lookups(ask: &mut Ask<'_>, cases: &Value) {
    const INET: u32 = 2;
    let Some((variant, prog)) = variant_of(ask, "SK_LOOKUP") else { return };
    for (what, want) in cases.as_object().into_iter().flatten() {
        let mut words = [0u32; 18];
        if let Some((family, proto)) = what.split_once(" proto=") {
            words[2] = family.trim_start_matches("family=").parse().unwrap_or(0);
            words[3] = proto.parse().unwrap_or(0);
        } else if let Some((at, value)) = what.trim_start_matches("word").split_once('=') {
            words[at.parse::<usize>().unwrap_or(0) / 4] = value.parse().unwrap_or(0);
            // The probe set the family last.
            words[2] = INET;
        }
        let run = TestRun { ctx_in: Some(bytes(&words)), ..TestRun::default() };
        let got = outcome(&ask.asked.bpf.test_run(prog, &run));
        ask.case(&variant.name, GROUP, what.clone(), text(want), got);
    }
    let _ = ask.asked.bpf.close(prog);
}

/// BPF_F_TEST_RUN_ON_CPU.
fn cpus(ask: &mut Ask<'_>, cases: &Value) {
    let Some((variant, prog)) = variant_of(ask, "RAW_TRACEPOINT") else { return };
    for (what, want) in cases.as_object().into_iter().flatten() {
        let Some((flags, cpu)) = what.split_once(" cpu=") else { continue };
        let flags = flags.trim_start_matches("flags=").parse().unwrap_or(0);
        let cpu = cpu.parse().unwrap_or(0);
        let got =
            outcome(&ask.asked.bpf.test_run(prog, &TestRun { flags, cpu, ..TestRun::default() }));
        ask.case(&variant.name, GROUP, what.clone(), text(want), got);
    }
    let _ = ask.asked.bpf.close(prog);
}
