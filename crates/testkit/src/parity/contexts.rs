//! Contexts: each offset and width, read, written by register and by constant, in each program.

use std::collections::BTreeMap;

use isa::Insn;
use runtime::door::LogRequest;
use serde_json::Value;

use super::variant::{self, Variant, Variants, mov, rows};
use super::{Asked, Case, Table};

/// The table of contexts.
pub const TABLE: Table = Table {
    name: "contexts",
    replay,
    detail: None,
    on_kernel: true,
    head: "# Contexts and Linux 6.18\n\nEvery byte offset of every context of \
           `facts/prog_types.json`, read and written in 1, 2, 4 and 8 bytes (from a register and \
           as a constant), in every variant of program that has it: accepted or refused, and what \
           the register holds after a read. Made by `cargo xtask parity`; with `--kernel` the \
           running Linux is asked the same.",
};

/// Asks everything.
pub fn replay(asked: &Asked<'_>) -> Result<Vec<Case>, String> {
    let variants = Variants::read(&asked.types)?;
    let (mut cases, mut row) = (Vec::new(), 0);
    for variant in &variants.all {
        let Some(table) = table_of(&variants.facts, &variant.label) else { continue };
        for ((off, size, way), want) in accesses(table) {
            row += 1;
            if row % asked.every != 0 {
                continue;
            }
            cases.push(Case {
                subject: variant.label.clone(),
                group: way.group(),
                what: format!("{size} bytes at {off}"),
                got: ask(asked, variant, off, size, way),
                want,
            });
        }
    }
    Ok(cases)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Read,
    Store,
    StoreConstant,
}

impl Way {
    fn group(self) -> &'static str {
        match self {
            Way::Read => "reads",
            Way::Store => "stores",
            Way::StoreConstant => "stores of constants",
        }
    }
}

const REFUSED: &str = "refused";
const ACCEPTED: &str = "accepted";
const SIZES: [(i64, u8); 4] = [(1, 0x10), (2, 0x08), (4, 0x00), (8, 0x18)];

fn table_of<'a>(facts: &'a Value, label: &str) -> Option<&'a Value> {
    let tables = facts["ctx_tables"].as_object()?;
    tables.values().find(|table| rows(&table["used_by"]).any(|l| l == label))
}

type Rows = BTreeMap<(i64, i64, Way), String>;

/// Every access of a table, with the recorded answer.
fn accesses(table: &Value) -> Rows {
    let mut known = Rows::new();
    if table["fields"].is_array() {
        of_fields(table, &mut known);
    } else if table["rows"].is_array() {
        for row in rows(&table["rows"]) {
            word(row, row[0].as_i64().unwrap_or(0), &mut known);
        }
        fill(&mut known, 0, 48);
    } else {
        of_pattern(table, &mut known);
    }
    known
}

/// Members; what no member allows between the first and eight bytes after the last is refused.
fn of_fields(table: &Value, known: &mut Rows) {
    let mut end = 0;
    for field in rows(&table["fields"]) {
        let number = |i: usize| field[i].as_i64().unwrap_or(0);
        let (off, size) = (number(1), number(2));
        end = end.max(off + size);
        let class = field[4].as_str().unwrap_or_default();
        for (sub, bytes) in allowed(&field[5], size) {
            known.insert((off + sub, bytes, Way::Read), class.into());
        }
        for (sub, bytes) in allowed(&field[6], size) {
            known.insert((off + sub, bytes, Way::Store), ACCEPTED.into());
            known.insert((off + sub, bytes, Way::StoreConstant), ACCEPTED.into());
        }
    }
    fill(known, 0, end + 8);
}

/// A row `[offset, sizes read, sizes written, class]`.
fn word(row: &Value, off: i64, known: &mut Rows) {
    let class = row[3].as_str().unwrap_or_default();
    for size in rows(&row[1]).filter_map(Value::as_i64) {
        known.insert((off, size, Way::Read), class.into());
    }
    for size in rows(&row[2]).filter_map(Value::as_i64) {
        known.insert((off, size, Way::Store), ACCEPTED.into());
        known.insert((off, size, Way::StoreConstant), ACCEPTED.into());
    }
}

/// Rows by the remainder of the offset, each from its first to its last offset.
fn of_pattern(table: &Value, known: &mut Rows) {
    let mut end = 0;
    for row in rows(&table["pattern_by_off_mod8"]) {
        let range = row[4].as_str().and_then(|text| text.split_once(".."));
        let Some((first, last)) = range else { continue };
        let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else { continue };
        for off in (first..=last).step_by(8) {
            word(row, off, known);
        }
        end = end.max(last + 1);
    }
    fill(known, 0, end);
}

fn fill(known: &mut Rows, start: i64, end: i64) {
    for off in start..end {
        for (size, _) in SIZES {
            for way in [Way::Read, Way::Store, Way::StoreConstant] {
                known.entry((off, size, way)).or_insert_with(|| REFUSED.into());
            }
        }
    }
}

/// `full`, or `read@+0:1,2,4;+1:1`.
fn allowed(text: &Value, size: i64) -> Vec<(i64, i64)> {
    let text = text.as_str().unwrap_or_default();
    if text == "full" {
        return vec![(0, size)];
    }
    let Some((_, list)) = text.split_once('@') else { return Vec::new() };
    let mut all = Vec::new();
    for item in list.split(';') {
        let Some((sub, sizes)) = item.split_once(':') else { continue };
        let Ok(sub) = sub.trim_start_matches('+').parse() else { continue };
        all.extend(sizes.split(',').filter_map(|s| s.parse().ok()).map(|bytes| (sub, bytes)));
    }
    all
}

fn ask(asked: &Asked<'_>, variant: &Variant, off: i64, size: i64, way: Way) -> String {
    let code = SIZES.iter().find(|(bytes, _)| *bytes == size).map_or(0, |(_, code)| *code);
    let off = off as i16;
    let access = match way {
        Way::Read => Insn::new(0x61 | code, 2, 1, off, 0),
        Way::Store => Insn::new(0x63 | code, 1, 2, off, 0),
        Way::StoreConstant => Insn::new(0x62 | code, 1, 0, off, 0),
    };
    let mut insns = vec![mov(2, 0), access];
    insns.extend(variant.done());
    let mut request = variant.request(&insns);
    // The state after each instruction is told of reads alone.
    request.log = match way {
        Way::Read => LogRequest { level: 2, size: 1 << 16 },
        _ => LogRequest::default(),
    };
    match (variant::load(asked.bpf, &request), way) {
        (Err(_), _) => REFUSED.into(),
        (Ok(loaded), Way::Read) => class(&loaded.log).unwrap_or_else(|| loaded.log.clone()),
        (Ok(_), _) => ACCEPTED.into(),
    }
}

/// What the register is after the read: told in its line, or before the next instruction.
fn class(log: &str) -> Option<String> {
    let (_, after) = log.split_once("\n1: (")?;
    let (state, _) = after.split_once("\n2: (")?;
    let at =
        state.find(" R2_w=").map(|at| at + 6).or_else(|| state.find(" R2=").map(|at| at + 4))?;
    Some(state[at..].chars().take_while(|c| !matches!(c, '(' | ' ')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_access_of_a_member_is_a_row() {
        let table = serde_json::json!({ "fields": [["cb", 4, 4, "rw", "scalar", "read@+0:2,4;+2:2", "full"]] });
        let rows = accesses(&table);
        let accepted: Vec<_> = rows.iter().filter(|(_, want)| *want != REFUSED).collect();
        assert_eq!(accepted.len(), 5);
        assert_eq!(rows[&(6, 2, Way::Read)], "scalar");
        assert_eq!(rows[&(6, 4, Way::Read)], REFUSED);
        // Sixteen offsets, four widths, three ways.
        assert_eq!(rows.len(), 16 * 4 * 3);
    }
}
