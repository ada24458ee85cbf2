//! The level of agreement with recorded verdicts only rises: `docs/parity/verdicts.json` holds it.

use std::path::PathBuf;

use testkit::verdicts::{Corpus, Totals, judge};

fn ratchet() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/parity/verdicts.json")
}

#[test]
fn agreement_with_linux_does_not_fall() {
    let Some(dir) = testkit::shared("verdicts") else {
        eprintln!("skipped: no recorded verdicts here");
        return;
    };
    let corpus = Corpus::open(&dir).unwrap();
    let mut now = Totals::default();
    corpus.cases.iter().filter_map(|case| judge(&corpus, case)).for_each(|row| now.add(&row));
    let text = std::fs::read_to_string(ratchet()).unwrap();
    let held: Totals = serde_json::from_str(&text).unwrap();
    assert_eq!(now.cases, held.cases, "another collection: `cargo xtask verdicts --bless`");
    assert_eq!(now.false_accept, 0);
    let not_fewer = [
        ("same_verdict", now.same_verdict, held.same_verdict),
        ("same_errno", now.same_errno, held.same_errno),
        ("same_last_line", now.same_last_line, held.same_last_line),
        ("processed_within_10pct", now.processed_within_10pct, held.processed_within_10pct),
    ];
    for (name, now, held) in not_fewer {
        assert!(now >= held, "{name}: {now}, was {held}");
    }
    if now != held {
        eprintln!("agreement rose: `cargo xtask verdicts --bless` holds it");
    }
}
