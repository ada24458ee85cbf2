//! `ring3 trace TOOL -- COMMAND`: our own tools.

use std::io::Write;

use ring3::Loaded;
use ring3::live::syscall_name;
use serde_json::{Map, Value};

use super::live;
use crate::args::{Tool, TraceArgs};
use crate::failure::Failure;
use crate::plan::{self, RunPlan, Work};
use crate::printer::Live as Printer;

/// What is shown when the command has ended.
type End = fn(&RunPlan, &Loaded, &mut Printer<'_>) -> Result<(), Failure>;

/// Name, source, and what is shown at the end.
fn tool(tool: Tool) -> (&'static str, &'static str, End) {
    match tool {
        Tool::Opensnoop => {
            ("opensnoop", include_str!("../../../../examples/tools/opensnoop.bpf.c"), live::maps)
        }
        Tool::Execsnoop => {
            ("execsnoop", include_str!("../../../../examples/tools/execsnoop.bpf.c"), live::maps)
        }
        Tool::Syscount => {
            ("syscount", include_str!("../../../../examples/tools/syscount.bpf.c"), counts)
        }
        Tool::Funclatency => {
            ("funclatency", include_str!("../../../../examples/tools/funclatency.bpf.c"), histogram)
        }
    }
}

/// Runs the tool; the command's exit status.
pub(crate) fn trace(args: TraceArgs, out: &mut dyn Write) -> Result<u8, Failure> {
    let (name, source, end) = tool(args.tool);
    let place = |error| Failure::unusable(format!("a folder for the tool: {error}"));
    let dir = tempfile::tempdir().map_err(place)?;
    let file = dir.path().join(format!("{name}.bpf.c"));
    std::fs::write(&file, source).map_err(place)?;
    let plan = plan::trace(args, file)?;
    match &plan.work {
        Work::Live(work) => live::live(&plan, work, out, &end),
        _ => Ok(0),
    }
}

/// Keys and values of a map.
fn rows(loaded: &Loaded, map: &str) -> Result<Vec<(u64, Value)>, Failure> {
    let rows = loaded.map(map)?.to_json()?;
    let rows = rows.as_array().into_iter().flatten();
    let row = |row: &Value| Some((row.get("key")?.as_u64()?, row.get("value")?.clone()));
    Ok(rows.filter_map(row).collect())
}

/// Calls by name, those that took longest first.
fn counts(_: &RunPlan, loaded: &Loaded, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut rows = rows(loaded, "counts")?;
    let of = |value: &Value, field: &str| value.get(field).and_then(Value::as_u64).unwrap_or(0);
    rows.sort_by_key(|(key, value)| (std::cmp::Reverse(of(value, "ns")), *key));
    for (key, value) in rows {
        let name = u32::try_from(key).ok().and_then(syscall_name);
        let fields = Map::from_iter([
            ("calls".into(), of(&value, "calls").into()),
            ("errors".into(), of(&value, "errors").into()),
            ("total_us".into(), (of(&value, "ns") / 1000).into()),
            ("syscall".into(), name.map_or_else(|| key.to_string(), str::to_owned).into()),
        ]);
        printer.typed("counts", "count", fields)?;
    }
    Ok(())
}

/// Slots by powers of two, with bars.
fn histogram(plan: &RunPlan, loaded: &Loaded, printer: &mut Printer<'_>) -> Result<(), Failure> {
    const WIDTH: u64 = 40;
    let rows = rows(loaded, "slots")?;
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let most = rows.iter().map(|(_, value)| count(value)).max().unwrap_or(0);
    let used = |row: &&(u64, Value)| count(&row.1) > 0;
    let (Some((first, _)), Some((last, _))) = (rows.iter().find(used), rows.iter().rfind(used))
    else {
        return printer.trace("the function was not called\n");
    };
    for (slot, value) in rows.iter().filter(|(slot, _)| (*first..=*last).contains(slot)) {
        let from = if *slot == 0 { 0 } else { 1_u64 << slot };
        let mut fields = Map::from_iter([
            ("from_ns".into(), from.into()),
            ("to_ns".into(), ((2_u64 << slot) - 1).into()),
            ("calls".into(), count(value).into()),
        ]);
        if !plan.json {
            let bar = "*".repeat((count(value) * WIDTH / most) as usize);
            fields.insert("distribution".into(), bar.into());
        }
        printer.typed("slots", "slot", fields)?;
    }
    Ok(())
}
