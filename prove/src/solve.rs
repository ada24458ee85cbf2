//! Asking z3, within a time.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::proof::Question;

/// What z3 said in the end.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// No counter-example exists.
    Proven,
    /// Unknowns and their values.
    Refuted(String),
    /// Out of time, or z3 says why not.
    Unknown(String),
}

/// Proven by any attempt, or what the last one, with all premises, says.
pub fn settle(question: &Question, seconds: u64) -> Answer {
    let mut answer = Answer::Unknown("nothing asked".into());
    for (n, text) in question.attempts.iter().enumerate() {
        let last = n + 1 == question.attempts.len();
        answer = ask(text, if last { seconds } else { seconds.div_ceil(3) });
        if answer == Answer::Proven {
            break;
        }
    }
    answer
}

/// One query.
pub fn ask(query: &str, seconds: u64) -> Answer {
    let said = z3(query, seconds).unwrap_or_else(|e| e);
    let (word, rest) = said.split_once('\n').unwrap_or((&said, ""));
    match word.trim() {
        "unsat" => Answer::Proven,
        "sat" => Answer::Refuted(rest.split_whitespace().collect::<Vec<_>>().join(" ")),
        "timeout" | "unknown" | "" => Answer::Unknown("out of time".into()),
        other => Answer::Unknown(other.to_owned()),
    }
}

/// Processor time is what is limited, so that a busy machine gives the same answers; a clock of
/// eight times as much sees that it ends.
fn z3(query: &str, seconds: u64) -> Result<String, String> {
    let script = format!("ulimit -t {seconds}; exec nice -n 5 z3 -in -T:{}", seconds * 8);
    let mut z3 = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("z3: {e}"))?;
    let mut input = z3.stdin.take().ok_or("z3 takes no input")?;
    // z3 may end at its limit before it has read all: then its answer says so.
    let _ = input.write_all(query.as_bytes());
    drop(input);
    let out = z3.wait_with_output().map_err(|e| format!("z3: {e}"))?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
