//! What a comparison of many programs found.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts, and the seeds behind everything that is not as it should be.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Programs tried.
    pub programs: u64,
    /// Accepted by both.
    pub both_accept: u64,
    /// Rejected by both.
    pub both_reject: u64,
    /// Taking so many steps that the kernel was not asked.
    pub heavy: u64,
    /// Rejected for a feature that ring3 does not model.
    pub needs: BTreeMap<String, u64>,
    /// Seeds that ring3 alone accepts, by Linux's message: a security bug each.
    pub false_accepts: BTreeMap<String, Vec<u64>>,
    /// Seeds that ring3 alone rejects, by its message with numbers struck out.
    pub false_rejects: BTreeMap<String, Vec<u64>>,
    /// Rejected by both, with another errno or last message line (of those asked).
    pub other_message: BTreeMap<String, Vec<u64>>,
    /// Programs whose results were compared.
    pub runs: u64,
    /// Seeds whose results differ.
    pub other_result: Vec<u64>,
}

impl Report {
    /// Nothing that must not happen.
    pub fn is_sound(&self) -> bool {
        self.false_accepts.is_empty() && self.other_result.is_empty()
    }

    /// The report as people read it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} programs: both accept {}, both reject {}, feature not modelled {}, \
             too long to ask {}\n",
            self.programs,
            self.both_accept,
            self.both_reject,
            self.needs.values().sum::<u64>(),
            self.heavy
        );
        text += &rows("false accepts", &self.false_accepts);
        text += &format!(
            "results of {} runs, different {}: {:?}\n",
            self.runs,
            self.other_result.len(),
            head(&self.other_result)
        );
        text += &rows("false rejects", &self.false_rejects);
        text += &rows("other messages (of those asked)", &self.other_message);
        for (feature, count) in &self.needs {
            text += &format!("{count:>8}  needs {feature}\n");
        }
        text
    }
}

fn rows(title: &str, rows: &BTreeMap<String, Vec<u64>>) -> String {
    let mut text = format!("{title} {}\n", rows.values().map(Vec::len).sum::<usize>());
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_by_key(|(_, seeds)| std::cmp::Reverse(seeds.len()));
    for (why, seeds) in sorted {
        text += &format!("{:>8}  {why}  {:?}\n", seeds.len(), head(seeds));
    }
    text
}

fn head(seeds: &[u64]) -> &[u64] {
    &seeds[..seeds.len().min(5)]
}

/// A message with every digit struck out, so that one cause is one line.
pub(super) fn without_numbers(message: &str) -> String {
    let mut text = String::new();
    for c in message.chars() {
        match c {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            c => text.push(c),
        }
    }
    text
}
