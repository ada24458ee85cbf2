//! Helpers and kernel functions: which have a body.

use std::collections::BTreeSet;

use runtime::Body;

use super::{Asked, Case, Table, facts};

/// Helpers.
pub const HELPERS: Table = Table {
    name: "helpers",
    replay: helpers,
    on_kernel: false,
    head: "# Helpers\n\nWhich of Linux 6.18's helpers (`facts/helpers.json`) have a body in \
           `crates/runtime`, by what they begin with. A program that calls another is refused at \
           load (EINVAL), and the message names the helper, unless its host brings a body. Made by \
           `cargo xtask parity`.",
    detail: Some(helper_rows),
};

/// Kernel functions.
pub const KFUNCS: Table = Table {
    name: "kfuncs",
    replay: kfuncs,
    on_kernel: false,
    head: "# Kernel functions\n\nWhich of the functions that Linux 6.18 lets programs call \
           (`facts/kfuncs.json`) have a body in `crates/runtime`, by what they begin with. A program \
           that calls another is refused at load (EINVAL), and the message names it. Made by \
           `cargo xtask parity`.",
    detail: Some(kfunc_rows),
};

const BODY: &str = "body";

fn case(name: &str, body: Body) -> Case {
    let got = match body {
        Body::Here(_) => BODY.to_owned(),
        Body::Refused(why) => format!("refused: {why}"),
    };
    let (subject, what) = (family(name), format!("`{name}`"));
    Case { subject, group: "bodies", what, want: BODY.to_owned(), got }
}

/// The first two words of a name, `bpf_` not counted.
fn family(name: &str) -> String {
    let words: Vec<&str> = name.trim_start_matches("__").split('_').collect();
    let count = if words[0] == "bpf" { 2 } else { 1 };
    format!("{}…", words[..count.min(words.len())].join("_"))
}

fn helpers(_: &Asked<'_>) -> Result<Vec<Case>, String> {
    let cases = uapi::HELPERS.iter().map(|row| case(&row.name, runtime::helper_body(row.id)));
    Ok(sorted(cases.collect()))
}

fn kfuncs(_: &Asked<'_>) -> Result<Vec<Case>, String> {
    let cases = kfunc_names()?.iter().map(|name| case(name, runtime::kfunc_body(name))).collect();
    Ok(sorted(cases))
}

fn sorted(mut cases: Vec<Case>) -> Vec<Case> {
    cases.sort_by(|a, b| a.subject.cmp(&b.subject));
    cases
}

fn kfunc_names() -> Result<BTreeSet<String>, String> {
    let facts = facts("kfuncs.json")?;
    let rows = facts["kfuncs"].as_array().ok_or("kfuncs.json: no rows")?;
    Ok(rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect())
}

fn row(name: &str, body: Body) -> String {
    let (here, note) = match body {
        Body::Here(note) => (BODY, note),
        Body::Refused(why) => ("refused", why),
    };
    format!("`{name}` | {here} | {note} |\n")
}

fn helper_rows() -> Result<String, String> {
    let mut text = "\n## All\n\n| number | helper | here | note |\n|---|---|---|---|\n".to_owned();
    for helper in uapi::HELPERS {
        let body = runtime::helper_body(helper.id);
        text += &format!("| {} | {}", helper.id, row(&helper.name, body));
    }
    Ok(text)
}

fn kfunc_rows() -> Result<String, String> {
    let mut text = "\n## All\n\n| function | here | note |\n|---|---|---|\n".to_owned();
    for name in kfunc_names()? {
        text += &format!("| {}", row(&name, runtime::kfunc_body(&name)));
    }
    Ok(text)
}
