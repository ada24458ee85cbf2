//! Map types: each recorded answer of Linux about creation, commands, programs and special cases.

mod batch;
mod commands;
mod create;
mod interface;
mod world;

use serde_json::Value;
use uapi::{Errno, MapType};

use super::{Asked, Case, Table};
use world::World;

/// The table of map types.
pub const TABLE: Table = Table {
    name: "maps",
    replay,
    detail: None,
    on_kernel: false,
    head: "# Map types and Linux 6.18\n\nEvery recorded answer of `facts/map_types.json`, asked of \
           ring3 through its door. Made by `cargo xtask parity`; with `--kernel` the running Linux \
           is asked the same.",
};

/// Asks everything; the door's maps are closed again.
pub fn replay(asked: &Asked<'_>) -> Result<Vec<Case>, String> {
    let facts = super::facts("map_types.json")?;
    let world = World::new(asked.bpf)?;
    let mut cases = Vec::new();
    for row in rows(&facts) {
        let Some(t) = row["id"].as_u64().and_then(|id| MapType::from_raw(id as u32)) else {
            continue;
        };
        let mut ask = Ask { world: &world, t, row, cases: &mut cases };
        create::ask(&mut ask, &facts["_flag_bits"]);
        commands::ask(&mut ask);
        batch::ask(&mut ask);
    }
    Ok(cases)
}

fn rows(facts: &Value) -> impl Iterator<Item = &Value> {
    facts["maps"].as_array().into_iter().flatten()
}

/// One map type being asked about.
struct Ask<'a> {
    world: &'a World<'a>,
    t: MapType,
    row: &'a Value,
    cases: &'a mut Vec<Case>,
}

impl Ask<'_> {
    fn case(&mut self, group: &'static str, what: &str, want: &str, got: String) {
        self.cases.push(Case {
            subject: self.t.name().trim_start_matches("BPF_MAP_TYPE_").to_owned(),
            group,
            what: what.to_owned(),
            want: want.to_owned(),
            got,
        });
    }
}

/// An answer as the record has it.
fn text<T>(r: Result<T, Errno>) -> String {
    match r {
        Ok(_) => "OK".into(),
        Err(Errno::EOPNOTSUPP) => "ENOTSUP".into(),
        Err(e) => e.to_string(),
    }
}
