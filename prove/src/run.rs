//! Several claims at once, and the table.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::claims::Claim;
use crate::ir::Module;
use crate::proof::Case;
use crate::solve::{Answer, ask, settle};

/// How much time and how many at once.
pub struct Limits {
    /// Processor seconds for each question; a claim ends at the first that takes more.
    pub seconds: u64,
    pub jobs: usize,
}

/// What became of a claim.
#[derive(Clone)]
struct Row {
    answer: Answer,
    seconds: f32,
}

/// Counts of the whole run.
#[derive(Default)]
pub struct Totals {
    pub proven: usize,
    pub refuted: usize,
    pub unknown: usize,
}

/// Settles the claims, printing a row as each comes to its turn.
pub fn run(module: &Module, claims: &[Claim], limits: &Limits) -> Totals {
    let rows: Mutex<Vec<Option<Row>>> = Mutex::new(vec![None; claims.len()]);
    let (next, printed) = (AtomicUsize::new(0), Mutex::new((0, Totals::default())));
    println!("{:<20}{:<22}{:<34}{:>8}", "claim", "width", "result", "seconds");
    std::thread::scope(|scope| {
        for _ in 0..limits.jobs {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(claim) = claims.get(n) else { break };
                    progress(&format!("{}/{} {}", n + 1, claims.len(), claim.name));
                    let row = settle_claim(module, claim, limits.seconds);
                    let mut rows = rows.lock().expect("no thread panics with the rows");
                    rows[n] = Some(row);
                    let mut printed = printed.lock().expect("no thread panics with the totals");
                    while let Some(Some(row)) = rows.get(printed.0) {
                        let claim = &claims[printed.0];
                        print(claim, row, &mut printed.1);
                        printed.0 += 1;
                    }
                }
            });
        }
    });
    printed.into_inner().expect("no thread panicked").1
}

/// All cases must be proven; the first that is not decides.
fn settle_claim(module: &Module, claim: &Claim, seconds: u64) -> Row {
    let start = Instant::now();
    let answers = claim.cases.iter().map(|make| settle_case(&make(module), claim.wrong, seconds));
    let answer = answers.into_iter().find(|a| *a != Answer::Proven).unwrap_or(Answer::Proven);
    Row { answer, seconds: start.elapsed().as_secs_f32() }
}

fn settle_case(case: &Case, wrong: bool, seconds: u64) -> Answer {
    for (n, question) in case.questions.iter().enumerate() {
        match settle(question, seconds) {
            Answer::Proven => {}
            Answer::Refuted(model) if case.abstracted && !wrong => {
                return Answer::Unknown(format!("contracts too weak: {model}"));
            }
            Answer::Unknown(why) => {
                let of = case.questions.len();
                return Answer::Unknown(format!("question {} of {of}: {why}", n + 1));
            }
            refuted => return refuted,
        }
    }
    match case.premises.as_ref().map(|query| ask(query, seconds)) {
        None | Some(Answer::Refuted(_)) => Answer::Proven,
        Some(Answer::Proven) => Answer::Refuted("no number meets the premises".into()),
        Some(Answer::Unknown(why)) => Answer::Unknown(format!("premises: {why}")),
    }
}

fn print(claim: &Claim, row: &Row, totals: &mut Totals) {
    let (said, count, why) = match (&row.answer, claim.wrong) {
        (Answer::Proven, false) => ("proven", &mut totals.proven, None),
        (Answer::Refuted(_), true) => ("mistake found, as it must be", &mut totals.proven, None),
        (Answer::Refuted(model), false) => ("COUNTER-EXAMPLE", &mut totals.refuted, Some(model)),
        (Answer::Proven, true) => ("MISTAKE NOT FOUND", &mut totals.refuted, None),
        (Answer::Unknown(why), _) => ("unknown", &mut totals.unknown, Some(why)),
    };
    *count += 1;
    progress("");
    println!("{:<20}{:<22}{said:<34}{:>8.1}", claim.name, claim.width, row.seconds);
    if let Some(why) = why {
        println!("    {why}");
    }
    let _ = std::io::stdout().flush();
}

/// The line that a terminal shows meanwhile.
fn progress(text: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}");
        let _ = err.flush();
    }
}
