//! Verbs that watch programs run: what they count is counted by hand.

use std::ffi::OsString;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bpftool::{Output, Session, Target};
use runtime::door::{Bpf, Fd, MapCreate, ProgLoad, TestRun};
use runtime::{Config, Runtime};
use uapi::{MapDef, MapType, ProgType};

fn runtime() -> Runtime {
    Runtime::new(Config { cpus: 2, ..Config::default() })
}

fn session(runtime: &Runtime) -> Session {
    let door = runtime.process();
    Session::new(Target::Memory, Box::new(move |_| Ok(Box::new(door.process()))))
}

fn run(session: &Session, args: &str) -> Output {
    let words = std::iter::once("bpftool").chain(args.split(' '));
    session.run(words.map(OsString::from).collect())
}

fn xdp(door: &dyn Bpf, text: &str, map: Option<Fd>) -> Fd {
    let mut insns = isa::asm::assemble(text).expect("assembly");
    for insn in insns.iter_mut().filter(|insn| insn.is_ld_imm64()) {
        // BPF_PSEUDO_MAP_FD
        insn.regs |= 1 << 4;
        insn.imm = map.map_or(-1, |fd| fd.0);
    }
    let req = ProgLoad {
        name: "watched".into(),
        prog_type: Some(ProgType::Xdp),
        license: "GPL".into(),
        insns,
        ..ProgLoad::default()
    };
    door.prog_load(&req).expect("a program").fd
}

/// Four instructions a run, three hundred runs.
#[test]
fn a_profile_counts_runs_and_their_instructions() {
    let runtime = runtime();
    let prog = xdp(&runtime, "r0 = 1\nr0 += 1\nr1 = 0\nexit", None);
    let door = runtime.process();
    let request = TestRun { data_in: Some(vec![0; 64]), repeat: 300, ..TestRun::default() };
    let (output, thread) = {
        let id = runtime.prog_info(prog).expect("it").id;
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            let fd = door.fd_by_id(runtime::door::ObjKind::Prog, id, 0).expect("it");
            door.test_run(fd, &request).expect("runs");
        });
        let line = format!("-j prog profile id {id} duration 1 instructions nanoseconds");
        (run(&session(&runtime), &line), thread)
    };
    thread.join().expect("the runs");
    assert_eq!(output.status, 0, "{}", output.stderr);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(rows[0]["metric"], "instructions");
    assert_eq!((&rows[0]["run_cnt"], &rows[0]["value"]), (&300.into(), &1200.into()));
    assert!(rows[1]["value"].as_u64().expect("a number") > 300);
    let id = runtime.prog_info(prog).expect("it").id;
    let cycles = run(&session(&runtime), &format!("prog profile id {id} duration 1 cycles"));
    assert!(cycles.stderr.contains("no counters of the processor"), "{}", cycles.stderr);
}

/// A reader that goes away after what it was told to wait for.
#[derive(Clone)]
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    until: &'static str,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().expect("no panic");
        if String::from_utf8_lossy(&text).contains(self.until) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SEND: &str = "
    r6 = r1
    *(u64 *)(r10 - 8) = 258
    r2 = 0 ll
    w3 = -1
    r4 = r10
    r4 += -8
    r5 = 8
    call 25
    r0 = 2
    exit";

/// Events come one after the other while the program goes on running.
#[test]
fn events_are_followed_as_they_come() {
    let runtime = runtime();
    let def = MapDef::new(MapType::PerfEventArray, 4, 4, 2);
    let map = runtime.map_create(&MapCreate::from(def)).expect("a map");
    let id = runtime.map_info(map).expect("it").id;
    let prog = runtime.prog_info(xdp(&runtime, SEND, Some(map))).expect("it").id;
    let door = runtime.process();
    let runs = std::thread::spawn(move || {
        let fd = door.fd_by_id(runtime::door::ObjKind::Prog, prog, 0).expect("it");
        let request = TestRun { data_in: Some(vec![0; 64]), repeat: 1, ..TestRun::default() };
        for _ in 0..6 {
            door.test_run(fd, &request).expect("runs");
            std::thread::sleep(Duration::from_millis(60));
        }
    });
    let mut session = session(&runtime);
    let reader = Reader { text: Arc::default(), until: "02 01 00 00 00 00 00 00" };
    session.set_live(reader.clone());
    let output = run(&session, &format!("map event_pipe id {id}"));
    runs.join().expect("the runs");
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    let text = String::from_utf8(reader.text.lock().expect("no panic").clone()).expect("text");
    let mut lines = text.lines();
    let head = lines.next().expect("a line");
    assert!(
        head.starts_with("== @") && head.contains(" CPU: ") && head.ends_with(" ====="),
        "{head}"
    );
    // 258 in the machine's order of bytes.
    assert_eq!(lines.next(), Some("02 01 00 00 00 00 00 00"));
    let half = run(&session, &format!("map event_pipe id {id} cpu 0"));
    assert_eq!(half.stderr, "Error: cpu and index must be specified together\n");
}
