//! Who holds an object is shown as bpftool shows it: processes other than the one that asks.

use std::ffi::OsString;
use std::process::{Child, Command};

use bpftool::{Session, Target};
use runtime::door::{Bpf, MapCreate};
use runtime::{Config, Runtime};
use uapi::{MapDef, MapType};

/// A process to hold things, ended with the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn show(session: &Session, args: &str) -> String {
    let words = ["bpftool"].into_iter().chain(args.split(' ')).map(OsString::from);
    String::from_utf8(session.run(words.collect()).stdout).expect("text")
}

#[test]
fn a_map_shows_the_processes_that_hold_it() {
    let sleeper = Sleeper(Command::new("sleep").arg("60").spawn().expect("sleep is installed"));
    let pid = sleeper.0.id();
    let runtime = Runtime::new(Config::default());
    let holder = runtime.process_of(pid);
    let request = MapCreate::from(MapDef::new(MapType::Array, 4, 8, 1));
    let map = holder.map_create(&request).expect("a map");
    // A second descriptor is no second process, and the asking one is not told of itself.
    let id = holder.map_info(map).expect("it").id;
    holder.fd_by_id(runtime::door::ObjKind::Map, id, 0).expect("another descriptor");
    let own = runtime.process();
    own.fd_by_id(runtime::door::ObjKind::Map, id, 0).expect("our own");
    let session = Session::new(Target::Memory, Box::new(move |_| Ok(Box::new(own.process()))));
    let text = show(&session, "map show");
    assert_eq!(text.lines().last(), Some(format!("\tpids sleep({pid})").as_str()), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&show(&session, "-j map show")).expect("JSON");
    assert_eq!(json[0]["pids"], serde_json::json!([{ "pid": pid, "comm": "sleep" }]));
    drop(holder);
    assert!(!show(&session, "map show").contains("pids"), "nobody else holds it");
}
