//! What counts as the same.

use std::collections::HashMap;

use serde_json::Value;

/// A recorded command and its answer.
pub(crate) struct Recorded<'a> {
    pub(crate) id: &'a str,
    pub(crate) words: &'a [String],
    pub(crate) stdout: &'a str,
    pub(crate) stderr: &'a str,
    pub(crate) exit: i64,
    pub(crate) cut: bool,
}

pub(crate) enum Verdict {
    Same,
    Different(String),
}

/// Lists that also hold what else was loaded on the recorded machine.
const LISTS: [&str; 7] = [
    "prog.list",
    "prog.show.f",
    "prog.show",
    "map.list",
    "btf.list",
    "map.show.name",
    "map.dump.byname",
];

/// Compares everything but help, which is in our own words.
pub(crate) fn compare(case: Recorded<'_>, stdout: &str, stderr: &str, exit: i64) -> Verdict {
    if exit != case.exit {
        return Verdict::Different(format!("exit {exit}, not {}: {stderr}{stdout}", case.exit));
    }
    let (want, got) = (errors(case.stderr), errors(stderr));
    if want != got {
        return Verdict::Different(format!("stderr {got:?}, not {want:?}"));
    }
    let base = case.id.trim_end_matches(".j").trim_end_matches(".p");
    let list = LISTS.contains(&base);
    let json = case.words.iter().any(|word| word == "-j" || word == "-p" || word == "--pretty");
    if json && !case.cut {
        let parsed = (serde_json::from_str(case.stdout), serde_json::from_str(stdout));
        if let (Ok::<Value, _>(mut want), Ok::<Value, _>(mut got)) = parsed {
            strip(&mut want);
            strip(&mut got);
            if REFERENCES.iter().any(|name| case.id.contains(name)) {
                hide_values(&mut want);
                hide_values(&mut got);
            }
            let same = match (list, &want, &got) {
                (true, Value::Array(want), Value::Array(got)) => is_part(got, want),
                _ => want == got && order(&want) == order(&got),
            };
            if !same {
                return Verdict::Different(first_difference(&pretty(&want), &pretty(&got)));
            }
            if !case.words.iter().any(|word| word == "-p" || word == "--pretty") {
                return Verdict::Same;
            }
        }
    }
    let (mut want, mut got) = (lines(case.stdout), lines(stdout));
    if REFERENCES.iter().any(|name| case.id.contains(name)) {
        want.iter_mut().chain(&mut got).for_each(hide_value);
    }
    if case.id == "run.stdin" {
        // A random number of the program's.
        want.iter_mut()
            .chain(&mut got)
            .for_each(|line| *line = line.replace("value: 2", "value: 1"));
    }
    if list {
        let (want, got) = (records(&want), records(&got));
        let missing = got.iter().find(|record| !want.contains(record));
        return match missing {
            None => Verdict::Same,
            Some(record) => Verdict::Different(format!("not recorded: {record:?}")),
        };
    }
    let (want, got) = if case.cut {
        // The last line of a cut recording is a part of one.
        let whole = want.len().saturating_sub(1);
        (want[..whole].to_vec(), got.into_iter().take(whole).collect())
    } else {
        (want, got)
    };
    if want == got {
        Verdict::Same
    } else {
        Verdict::Different(first_difference(&want.join("\n"), &got.join("\n")))
    }
}

/// Maps whose values are ids, or counts by the CPU that a run happened to take.
const REFERENCES: [&str; 6] =
    ["tailm/jump", "progarray", "zoom/outer", "dump.mim", "dump.hm/percpu", "lookup.percpu"];

fn hide_value(line: &mut String) {
    if let Some(at) = line.find("value: ").or_else(|| line.find("\"value\": ")) {
        line.truncate(at);
    }
}

fn hide_values(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(hide_values),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &value) {
                    ("value", Value::Array(_) | Value::Number(_)) => *value = Value::Null,
                    _ => hide_values(value),
                }
            }
        }
        _ => {}
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Keys in their order, which equality of objects does not see.
fn order(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            map.iter().flat_map(|(key, value)| [vec![key.clone()], order(value)].concat()).collect()
        }
        Value::Array(values) => values.iter().flat_map(order).collect(),
        _ => Vec::new(),
    }
}

/// Whether `part`'s elements stand in `whole`, in their order.
fn is_part(part: &[Value], whole: &[Value]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|element| rest.any(|other| other == element && order(other) == order(element)))
}

/// Errors and libraries' lines; help is in our own words.
fn errors(stderr: &str) -> Vec<String> {
    let end = stderr.find("Usage:").unwrap_or(stderr.len());
    stderr[..end].lines().map(scrub).collect()
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(scrub).collect();
    // Pins are told in the order of a hash table.
    for run in lines.chunk_by_mut(|a, b| a.starts_with("\tpinned") && b.starts_with("\tpinned")) {
        run.sort();
    }
    // The opcodes of calls and map loads hold addresses and ids.
    for at in 1..lines.len() {
        if lines[at - 1].contains("call ") || lines[at - 1].contains("map[") {
            let bytes = lines[at].trim_start();
            if lines[at].starts_with("       ") && bytes.len() >= 23 && !bytes.contains('(') {
                lines[at] = "opcodes".into();
            }
        }
    }
    lines
}

/// Lines grouped by the object they are about.
fn records(lines: &[String]) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    for line in lines {
        match records.last_mut() {
            Some(last) if line.starts_with('\t') => *last += &format!("\n{line}"),
            _ => records.push(line.clone()),
        }
    }
    records
}

fn first_difference(want: &str, got: &str) -> String {
    let mut pairs = want.lines().zip(got.lines()).enumerate();
    match pairs.find(|(_, (want, got))| want != got) {
        Some((at, (want, got))) => format!("line {}: {got:?}, not {want:?}", at + 1),
        None => format!("{} lines, not {}", got.lines().count(), want.lines().count()),
    }
}

/// Markers, and what may follow them and is different each time.
const VARYING: [(&str, &str); 38] = [
    ("map[id:", "0123456789"),
    ("map_ids ", "0123456789,"),
    ("prog_id ", "0123456789"),
    ("prog_id:", "0123456789"),
    ("facts_cc id ", "0123456789"),
    ("] id ", "0123456789"),
    ("value_type_id\": ", "0123456789"),
    ("link_id ", "0123456789"),
    ("\"prog_id\": ", "0123456789"),
    ("\"link_id\": ", "0123456789"),
    ("\"netns_ino\": ", "0123456789"),
    ("\"cgroup_id\": ", "0123456789"),
    ("  prog ", "0123456789"),
    ("driver id ", "0123456789"),
    ("generic id ", "0123456789"),
    ("fsobj] id ", "0123456789"),
    ("netns_ino ", "0123456789"),
    ("cgroup_id ", "0123456789"),
    ("prog_ids ", "0123456789,"),
    ("btf_id ", "0123456789"),
    ("loaded_at ", "0123456789-:T+"),
    ("xlated jited", ""),
    ("  jited ", "0123456789"),
    ("duration: ", "0123456789"),
    ("duration (average): ", "0123456789"),
    ("inner_map_id: ", "0123456789"),
    ("\"id\": ", "0123456789"),
    ("\"btf_id\": ", "0123456789"),
    ("\"map_ids\": [", "0123456789,"),
    ("\"prog_ids\": [", "0123456789,"),
    ("\"inner_map_id\": ", "0123456789"),
    ("\"loaded_at\": ", "0123456789"),
    ("\"bytes_jited\": ", "0123456789"),
    ("\"duration\": ", "0123456789"),
    ("=\"fn_", ""),
    ("id:", "0123456789"),
    ("call bpf_", ""),
    ("pinned /", ""),
];

/// A line without ids, times and addresses.
fn scrub(line: &str) -> String {
    let mut line = line
        .replace("  not jited", "  jited 0B")
        .replace("owner not jited", "owner jited")
        .replace("\"owner_jited\": false", "\"owner_jited\": true");
    let digits = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    if digits > 0 && line[digits..].starts_with(": ") && !line[digits..].starts_with(": (") {
        line.replace_range(..digits, "#");
    }
    // A column of ids, as wide as the longest.
    let row = line[digits..].trim_start();
    if (digits > 0 && row.starts_with("cgroup_")) || (digits == 0 && line.starts_with("id ")) {
        let rest = if digits > 0 { row.to_owned() } else { String::new() };
        line = format!("# {rest}");
    }
    for (marker, varying) in VARYING.iter().filter(|row| !row.1.is_empty()) {
        let mut from = 0;
        while let Some(at) = line[from..].find(marker) {
            let start = from + at + marker.len();
            let rest = &line[start..];
            let end = rest.find(|c| !varying.contains(c)).unwrap_or(rest.len());
            if end > 0 {
                line.replace_range(start..start + end, "#");
            }
            from = start;
        }
    }
    if let Some(at) = line.find("call ") {
        // An address relative to the kernel's base of calls, or a helper's number.
        if let Some(hash) = line[at..].find('#').filter(|_| !line[at..].contains("call pc")) {
            let rest = &line[at + hash + 1..];
            let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
            line.replace_range(at + hash + 1..at + hash + 1 + end, "#");
        }
    }
    line
}

/// Takes out of JSON what is different each time.
fn strip(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(strip),
        Value::String(text) => *text = scrub(text),
        Value::Object(map) => {
            let refers = map
                .get("disasm")
                .and_then(Value::as_str)
                .is_some_and(|text| text.contains("call ") || text.contains("map["));
            // Machine code is not shown by this target: its size is no part of the comparison.
            map.shift_remove("bytes_jited");
            for (key, value) in map.iter_mut() {
                match key.as_str() {
                    "id" | "btf_id" | "prog_id" | "link_id" | "netns_ino" | "cgroup_id"
                    | "loaded_at" | "duration" | "inner_map_id" => *value = Value::from(0),
                    "jited" | "owner_jited" => *value = Value::Bool(true),
                    "map_ids" | "prog_ids" => {
                        let count = value.as_array().map_or(0, Vec::len);
                        *value = Value::from(count);
                    }
                    "opcodes" if refers => *value = Value::Null,
                    "pinned" => {
                        if let Value::Array(pins) = value {
                            pins.sort_by_key(|pin| pin.as_str().map(str::to_owned));
                        }
                    }
                    _ => strip(value),
                }
            }
        }
        _ => {}
    }
}

/// Recorded ids and ours, by object.
#[derive(Default)]
pub(crate) struct Ids {
    known: HashMap<(String, u64), u64>,
}

impl Ids {
    /// A recorded command with our ids.
    pub(crate) fn translate(&self, words: &[String]) -> Vec<String> {
        let noun = words.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
        let mut out = words.to_vec();
        for at in 1..out.len() {
            let Ok(id) = out[at].parse() else { continue };
            if out[at - 1] == "id"
                && let Some(ours) = self.known.get(&(noun.clone(), id))
            {
                out[at] = ours.to_string();
            }
        }
        out
    }

    /// Learns which of ours a recorded id is, from JSON of the same command.
    pub(crate) fn learn(&mut self, words: &[String], recorded: &str, ours: &str) {
        let noun = words.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
        let parsed = (serde_json::from_str(recorded), serde_json::from_str(ours));
        let (Ok::<Value, _>(recorded), Ok::<Value, _>(ours)) = parsed else { return };
        if let (Some(theirs), Some(rows), "link") = (recorded.as_array(), ours.as_array(), &*noun)
            && theirs.len() == rows.len()
        {
            let pairs = theirs.iter().zip(rows);
            pairs.for_each(|(recorded, ours)| self.pair(&noun, &recorded["id"], &ours["id"]));
        }
        if recorded.is_object() && recorded["name"] == ours["name"] {
            self.pair(&noun, &recorded["id"], &ours["id"]);
            self.pair("btf", &recorded["btf_id"], &ours["btf_id"]);
        }
    }

    fn pair(&mut self, noun: &str, recorded: &Value, ours: &Value) {
        if let (Some(recorded), Some(ours)) = (recorded.as_u64(), ours.as_u64()) {
            self.known.insert((noun.to_owned(), recorded), ours);
        }
    }
}
