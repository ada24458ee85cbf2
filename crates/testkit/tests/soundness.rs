//! A small share of what `cargo xtask soundness` does, from a seed of the day.

use std::time::{SystemTime, UNIX_EPOCH};

use syscall::Linux;
use testkit::soundness::{
    Contained, Judged, Kernel, Results, Source, Subject, check_runs, compare, judge, subject_of,
};
use testkit::verdicts::Corpus;

/// A seed that differs from run to run; printed, so that a failure can be repeated.
fn seed(what: &str) -> u64 {
    let given = std::env::var("RING3_SEED").ok().and_then(|s| s.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let seed = given.unwrap_or(now % 1_000_000 * 64);
    eprintln!("{what}: RING3_SEED={seed}");
    seed
}

fn linux() -> Option<Linux> {
    Linux::probe().map_err(|errno| eprintln!("skipped: no bpf(2) here ({errno})")).ok()
}

fn verdicts_agree(what: &str, source: &Source, count: u64) {
    let Some(linux) = linux() else { return };
    let report = compare(source, &linux, None, seed(what), count, |_| ()).expect("maps");
    assert!(report.false_accepts.is_empty(), "{}", report.text());
    assert!(report.both_accept > 0 && report.both_reject > 0, "{}", report.text());
}

#[test]
fn no_generated_program_is_accepted_by_ring3_alone() {
    verdicts_agree("generated", &Source::generated(false), 1200);
}

#[test]
fn no_mutated_program_is_accepted_by_ring3_alone() {
    verdicts_agree("mutated", &Source::generated(true), 800);
}

#[test]
fn no_wild_program_is_accepted_by_ring3_alone() {
    verdicts_agree("wild", &Source::wild(false), 300);
}

#[test]
fn no_mutated_recorded_program_is_accepted_by_ring3_alone() {
    let Some(linux) = linux() else { return };
    let Some(dir) = testkit::shared("verdicts") else {
        return eprintln!("skipped: no recorded verdicts here");
    };
    let corpus = Corpus::open(&dir).expect("the recorded verdicts");
    let source = Source::recorded(&corpus, &mut Kernel::new(&linux));
    verdicts_agree("recorded", &source, 1000);
}

#[test]
fn results_agree_where_no_address_shows() {
    let Some(linux) = linux() else { return };
    let runtime = runtime::Runtime::default();
    let results = Results::new(&runtime, &linux).expect("maps");
    let (source, first) = (Source::generated(false), seed("results"));
    let agree = |seed| results.agree(seed, &subject_of(&source, seed)?);
    let seeds = (first..first + 400).filter(|seed| seed % 4 != 0);
    let different: Vec<u64> = seeds.filter(|seed| agree(*seed) == Some(false)).collect();
    assert!(different.is_empty(), "seeds {different:?}");
}

#[test]
fn registers_lie_in_the_states_that_were_walked() {
    let sources = [Source::generated(false), Source::generated(true), Source::wild(false)];
    let mut seed = seed("checked runs");
    let mut found = Contained::default();
    while found.runs < 4000 {
        for source in &sources {
            if let Some(subject) = subject_of(source, seed) {
                check_runs(&subject, seed, 16, &mut found);
            }
        }
        seed += 1;
    }
    assert!(found.failures.is_empty(), "{:?}", found.failures);
}

/// Programs that were judged wrongly once; the folder's README tells the form.
#[test]
fn programs_judged_wrongly_once() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soundness");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let (wanted, subject) = case(&text);
        let (ours, _) = subject.judge(0);
        assert_eq!(ours.accepts(), wanted == "accept", "{}: {}", path.display(), ours.message);
        if let Some(linux) = linux() {
            let (judged, _, _) = judge(&subject, &mut Kernel::new(&linux));
            let same = matches!(judged, Judged::BothAccept | Judged::BothReject);
            assert!(same, "{}: {judged:?}", path.display());
        }
        count += 1;
    }
    assert!(count >= 6, "{count} cases");
}

fn case(text: &str) -> (String, Subject) {
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix("# ")?.strip_prefix(key));
        line.map(|l| l.trim().to_owned()).unwrap_or_default()
    };
    let source = Source::generated(false);
    let mut subject = subject_of(&source, 0).expect("a generated program");
    subject.program.prog_type = uapi::ProgType::from_raw(value("type:").parse().unwrap_or(6));
    let body: String =
        text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    subject.program.insns = isa::asm::assemble(&body).expect("a program");
    (value("linux:"), subject)
}
