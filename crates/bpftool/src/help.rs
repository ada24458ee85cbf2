//! Help, of an object or of all.

use crate::table::NOUNS;

/// What can be typed, of an object or of all.
pub fn usage(name: &str, noun: Option<&str>) -> String {
    let Some(noun) = noun.and_then(|noun| NOUNS.iter().find(|n| n.name == noun)) else {
        let nouns: Vec<_> = NOUNS.iter().map(|noun| noun.name).collect();
        return format!(
            "Usage: {name} [OPTIONS] OBJECT COMMAND …\n       {name} OBJECT help\n       \
             {name} batch file PATH\n       {name} elf FILE\n       {name} version\n\n\
             OBJECT = {}\n\n{OPTIONS}",
            nouns.join(" | ")
        );
    };
    let mut out = String::new();
    for (at, verb) in noun.verbs.iter().enumerate() {
        let lead = if at == 0 { "Usage:" } else { "      " };
        let line = format!("{lead} {name} {} {} {}", noun.name, verb.name, verb.args);
        let line = line.trim_end();
        // Descriptions stand in one column where the line leaves room.
        let gap = if line.chars().count() < ABOUT_COLUMN { "" } else { "\n" };
        let width = if gap.is_empty() { ABOUT_COLUMN - line.chars().count() } else { ABOUT_COLUMN };
        out.push_str(&format!("{line}{gap}{:width$}{}\n", "", verb.about));
    }
    out.push('\n');
    for term in noun.terms {
        out.push_str(term);
        out.push('\n');
    }
    out.push_str(OPTIONS);
    if !noun.examples.is_empty() {
        out.push_str("\nExamples:\n");
    }
    for (line, what) in noun.examples {
        out.push_str(&format!("  # {what}\n  {name} {line}\n"));
    }
    out
}

/// Where descriptions begin.
const ABOUT_COLUMN: usize = 60;

const OPTIONS: &str =
    "OPTIONS = -j (JSON) | -p (indented JSON) | -f (names of pins) | -d (more messages) |
          -V (version) | -B PATH (base BTF) | --target linux, memory or daemon
";
