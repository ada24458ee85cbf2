//! Program types: loads, flags, results, section names, licences and test runs.

mod load;
mod run;

use serde_json::Value;

use super::variant::Variants;
use super::{Asked, Case, Table};

/// The table of program types.
pub const TABLE: Table = Table {
    name: "programs",
    replay,
    detail: None,
    on_kernel: true,
    head: "# Program types and Linux 6.18\n\nEvery recorded answer of `facts/prog_types.json` but \
           those of contexts: loads by attach type and flags, constants that may be returned, \
           section names, licences, test runs with every input. Made by `cargo xtask parity`; with \
           `--kernel` the running Linux is asked the same.",
};

/// Asks everything.
pub fn replay(asked: &Asked<'_>) -> Result<Vec<Case>, String> {
    let variants = Variants::read(&asked.types)?;
    let mut ask = Ask { asked, variants: &variants, cases: Vec::new() };
    load::ask(&mut ask)?;
    run::ask(&mut ask);
    Ok(ask.cases)
}

/// The questions so far.
struct Ask<'a> {
    asked: &'a Asked<'a>,
    variants: &'a Variants,
    cases: Vec<Case>,
}

impl Ask<'_> {
    fn case(&mut self, subject: &str, group: &'static str, what: String, want: &str, got: String) {
        let (subject, want) = (subject.to_owned(), want.to_owned());
        self.cases.push(Case { subject, group, what, want, got });
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
