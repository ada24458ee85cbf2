//! Explanations of every recorded rejection: none is empty, and what they name is what the
//! running kernel's log named.

use std::collections::BTreeMap;

use testkit::verdicts::{Case, Corpus};
use verifier::{Explanation, explain};

/// The recorded verdicts, if they are there.
fn corpus() -> Option<Corpus> {
    let Some(dir) = testkit::shared("verdicts") else {
        eprintln!("skipped: no recorded verdicts here");
        return None;
    };
    Some(Corpus::open(&dir).expect("the recorded verdicts can be read"))
}

fn explained(corpus: &Corpus) -> Vec<(&Case, Explanation)> {
    let rejected = corpus.cases.iter().filter(|case| case.verdict == "reject");
    let explained = rejected.filter_map(|case| {
        let (program, world) = (corpus.program(case)?, corpus.world(case)?);
        Some((case, explain(&program, &world, &corpus.policy(case))?))
    });
    explained.collect()
}

#[test]
fn every_rejection_is_explained_and_names_what_linux_names() {
    let Some(corpus) = corpus() else { return };
    let all = explained(&corpus);
    assert!(all.len() > 500, "only {} rejections were explained", all.len());
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unnamed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut telling = 0;
    for (_, explanation) in &all {
        assert!(!explanation.title.is_empty(), "{explanation:?}");
        *causes.entry(explanation.cause).or_default() += 1;
        if explanation.cause == "other" {
            *unnamed.entry(&explanation.message).or_default() += 1;
        }
        if explanation.required.is_empty() && explanation.known.is_empty() {
            *unknown.entry(&explanation.message).or_default() += 1;
        } else {
            telling += 1;
        }
    }
    eprintln!("causes: {causes:#?}; without one: {unnamed:#?}");
    let share = telling * 100 / all.len();
    eprintln!("{telling} of {} rejections explained ({share} %); not: {unknown:#?}", all.len());
    assert!(share >= 90, "{share} %");
    lines_agree(&all);
    states_agree(&all);
}

/// The same message as the kernel's, so that the logs can be compared.
fn same_message(case: &Case, explanation: &Explanation) -> bool {
    !explanation.message.is_empty()
        && case
            .log
            .as_deref()
            .is_some_and(|log| log.lines().any(|line| line == explanation.message))
}

/// The line at fault is the last one that the kernel printed.
fn lines_agree(all: &[(&Case, Explanation)]) {
    let (mut same, mut other) = (0, Vec::new());
    for (case, explanation) in all.iter().filter(|(c, e)| same_message(c, e)) {
        let Some(source) = explanation.place.as_ref().and_then(|place| place.source.as_ref())
        else {
            continue;
        };
        let log = case.log.as_deref().unwrap_or("");
        let last = log.lines().rfind(|l| l.starts_with("; ") && l.contains(" @ "));
        let Some(last) = last else { continue };
        let file = source.file.rsplit('/').next().unwrap_or("");
        if last.ends_with(&format!(" @ {file}:{}", source.line)) {
            same += 1;
        } else {
            other.push(format!(
                "{}/{}: {}:{} but {last}",
                case.file, case.program, file, source.line
            ));
        }
    }
    eprintln!("source lines: {same} as in the kernel's log, {} not: {other:#?}", other.len());
    assert!(same > 300 && other.len() * 50 <= same, "{same} same, {other:#?}");
}

/// Ranges told of a register that the message names are in the kernel's last print of it.
fn states_agree(all: &[(&Case, Explanation)]) {
    let (mut same, mut other) = (0, Vec::new());
    for (case, explanation) in all.iter().filter(|(c, e)| same_message(c, e)) {
        let Some(fact) = explanation.known.first() else { continue };
        let Some(range) = fact.range.filter(|r| r.umax != u64::MAX && r.umin != r.umax) else {
            continue;
        };
        let log = case.log.as_deref().unwrap_or("");
        let key = format!(" {}=", fact.name);
        let Some(at) = log.rfind(&key) else { continue };
        let state = log[at + key.len()..].split_whitespace().next().unwrap_or("");
        let Some(umax) = member(state, "umax") else { continue };
        if umax == range.umax {
            same += 1;
        } else {
            other.push(format!("{}/{}: {fact:?} but {state}", case.file, case.program));
        }
    }
    eprintln!("largest values: {same} as in the kernel's log, {} not: {other:#?}", other.len());
    assert!(same > 20 && other.len() * 10 <= same, "{same} same, {other:#?}");
}

/// `umax` of `scalar(smin=smin32=0,smax=umax=255,…)`.
fn member(state: &str, name: &str) -> Option<u64> {
    let parts = state.split(['(', ',', ')']);
    let part = parts.into_iter().find(|part| part.split('=').any(|word| word == name))?;
    let value = part.rsplit('=').next()?;
    match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => value.parse().ok(),
    }
}
