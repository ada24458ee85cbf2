//! Side by side with the installed bpftool, on the running kernel's own objects.

use std::ffi::OsString;
use std::process::Command;

use bpftool::{Session, Target};
use runtime::door::{Bpf, MapCreate};
use serde_json::Value;
use uapi::{MapDef, MapType};

/// What bpftool says, or nothing where it is not installed or may not ask.
fn real(args: &[&str]) -> Option<String> {
    let output = Command::new("bpftool").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ours(args: &[&str]) -> String {
    let session = Session::new(Target::Linux, Box::new(bpftool::open));
    let words = std::iter::once("bpftool").chain(args.iter().copied());
    let output = session.run(words.map(OsString::from).collect());
    assert_eq!(output.status, 0, "{args:?}: {}", output.stderr);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Members that only newer bpftools print.
fn strip(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(strip),
        Value::Object(map) => {
            // bpftool finds processes by a program of its own; counts go on while we look.
            for key in ["orphaned", "pids", "run_time_ns", "run_cnt"] {
                map.shift_remove(key);
            }
            map.values_mut().for_each(strip);
        }
        _ => {}
    }
}

#[test]
fn the_running_kernel_s_objects_are_shown_as_by_bpftool() {
    let Ok(linux) = syscall::Linux::probe() else {
        eprintln!("skipped: bpf(2) is not allowed here");
        return;
    };
    let mut def = MapDef::new(MapType::Hash, 4, 8, 4);
    def.name = "r3_live".into();
    let map = linux.map_create(&MapCreate::from(def)).expect("a small map");
    for key in 0..3_u32 {
        linux.map_update(map, &key.to_le_bytes(), &[key as u8; 8], 0).expect("it fits");
    }
    let id = linux.map_info(map).expect("its own map").id.to_string();
    let commands: [&[&str]; 6] = [
        &["map", "show", "id", &id],
        &["map", "dump", "id", &id],
        &["-j", "map", "show", "id", &id],
        &["-j", "map", "dump", "id", &id],
        &["map", "lookup", "id", &id, "key", "1", "0", "0", "0"],
        &["-p", "map", "lookup", "id", &id, "key", "hex", "02", "00", "00", "00"],
    ];
    for args in commands {
        let Some(want) = real(args) else {
            eprintln!("skipped: bpftool is not installed");
            return;
        };
        let got = ours(args);
        let parsed = (serde_json::from_str(&want), serde_json::from_str(&got));
        if let (Ok::<Value, _>(mut want), Ok::<Value, _>(mut got)) = parsed {
            strip(&mut want);
            strip(&mut got);
            assert_eq!(got, want, "{args:?}");
        } else {
            let plain = |text: &str| {
                let lines = text.lines().filter(|line| !line.starts_with("\tpids"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(plain(&got), plain(&want), "{args:?}");
        }
    }
    programs();
}

/// Programs that were there before and stay: loaded by the system, not by tests.
fn programs() {
    let Some(before) = real(&["-j", "prog", "show"]) else { return };
    let before: Value = serde_json::from_str(&before).expect("bpftool's JSON");
    for prog in before.as_array().into_iter().flatten().take(3) {
        let id = prog["id"].to_string();
        let args = ["-j", "prog", "show", "id", &id];
        let (Some(want), Some(_)) = (real(&args), real(&args)) else { continue };
        let mut want: Value = serde_json::from_str(&want).expect("bpftool's JSON");
        let mut got: Value = serde_json::from_str(&ours(&args)).expect("our JSON");
        strip(&mut want);
        strip(&mut got);
        assert_eq!(got, want, "program {id}");
        let args = ["prog", "dump", "xlated", "id", &id];
        if let Some(want) = real(&args) {
            assert_eq!(ours(&args), want, "program {id}");
        }
    }
}
