//! Interfaces fed from captures: programs run on each packet, and everything ends when it is to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runtime::door::{AttachTo, DeviceAdd, DeviceInfo, ProgAttach};
use runtime::{Bpf, Config, Fd, ProgLoad, Runtime};
use uapi::{Errno, ProgType};

/// `tcpdump -r web.pcap | wc -l` and its bytes are asked of the file's own records below.
fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/captures/web.pcap")
}

/// Packets and bytes of a capture of the oldest format, counted from its record headers.
fn counted(file: &Path) -> (u64, u64) {
    let bytes = std::fs::read(file).expect("the capture is in the repository");
    let (mut at, mut packets, mut total) = (24, 0, 0);
    while let Some(len) = bytes.get(at + 8..at + 12) {
        let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]);
        at += 16 + len as usize;
        packets += 1;
        total += u64::from(len);
    }
    (packets, total)
}

fn runtime() -> Runtime {
    let runtime = Runtime::new(Config { cpus: 2, ..Config::default() });
    runtime.set_feeder(hooks::packet::feeder());
    runtime
}

fn returning(door: &Runtime, prog_type: ProgType, value: i32) -> Fd {
    let text = format!("r0 = {value}\nexit");
    let insns = isa::asm::assemble(&text).expect("assembly");
    let req = ProgLoad {
        prog_type: Some(prog_type),
        license: "GPL".into(),
        insns,
        ..ProgLoad::default()
    };
    door.prog_load(&req).expect("a small program").fd
}

fn until(door: &Runtime, what: impl Fn(&DeviceInfo) -> bool) -> DeviceInfo {
    let begun = Instant::now();
    loop {
        let devices = door.devices().expect("the list");
        let device = devices.first().expect("the interface").clone();
        if what(&device) {
            return device;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{device:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn add(door: &Runtime, again: bool) -> Result<u32, Errno> {
    let capture = Some(capture().display().to_string());
    door.device_add(&DeviceAdd {
        name: "d0".into(),
        capture,
        rate: 100_000,
        again,
        ..DeviceAdd::default()
    })
}

#[test]
fn a_capture_is_played_once_from_the_first_program_on() {
    let door = runtime();
    let ifindex = add(&door, false).expect("an interface");
    let drop_all = returning(&door, ProgType::Xdp, 1);
    door.xdp_set(ifindex, Some(drop_all), 0).expect("nothing is there");
    let device = until(&door, |device| device.ended);
    let (packets, bytes) = counted(&capture());
    assert_eq!((device.counts.packets, device.counts.bytes), (packets, bytes));
    assert_eq!((device.counts.drop, device.counts.pass), (packets, 0));
    assert_eq!(device.error, "");
    door.device_del("d0").expect("it is there");
    assert_eq!(door.device_del("d0"), Err(Errno::ENODEV));
}

#[test]
fn what_xdp_lets_pass_comes_to_tcx() {
    let door = runtime();
    let ifindex = add(&door, true).expect("an interface");
    let pass = returning(&door, ProgType::Xdp, 2);
    let shot = returning(&door, ProgType::SchedCls, 2);
    door.xdp_set(ifindex, Some(pass), 2).expect("the generic mode");
    let to = AttachTo::Device { ifindex };
    let req = ProgAttach { prog: Some(shot), attach_type: 46, to, ..ProgAttach::default() };
    door.prog_attach(&req).expect("an empty list");
    // It goes on after the capture's end.
    let more = counted(&capture()).0 * 3;
    let device = until(&door, |device| device.counts.tc_drop > more);
    assert_eq!(device.counts.drop, 0);
    assert!(device.counts.pass >= device.counts.tc_drop);
    assert_eq!(device.counts.tc_pass, 0);
    // Dropping the runtime ends the thread.
}

#[test]
fn wrong_files_and_names_are_refused() {
    let door = runtime();
    let refused = |name: &str, capture: &str| {
        let capture = Some(capture.to_owned());
        door.device_add(&DeviceAdd { name: name.into(), capture, ..DeviceAdd::default() })
    };
    assert_eq!(refused("d", "/nonexistent.pcap"), Err(Errno::ENOENT));
    assert_eq!(refused("d", "/dev/zero"), Err(Errno::EACCES));
    assert_eq!(refused("d", "/"), Err(Errno::EACCES));
    assert_eq!(refused("d", "/etc/passwd"), Err(Errno::EINVAL));
    let file = capture().display().to_string();
    for name in ["", "a/b", ".", "a name", "sixteen-and-more-"] {
        assert_eq!(refused(name, &file), Err(Errno::EINVAL), "{name}");
    }
    assert_eq!(refused("lo", &file), Err(Errno::EEXIST));
}

#[test]
fn what_leaves_is_captured_when_asked() {
    let door = runtime();
    let dir = std::env::temp_dir().join(format!("ring3-feed-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder of ours");
    let out = dir.join("out.pcap");
    let add = |out: &Path| {
        let capture = Some(capture().display().to_string());
        let out = Some(out.display().to_string());
        let name = "d0".into();
        door.device_add(&DeviceAdd { name, capture, out, rate: 100_000, ..DeviceAdd::default() })
    };
    assert_eq!(add(&dir), Err(Errno::EACCES), "a folder is not written");
    let ifindex = add(&out).expect("an interface");
    let bounce = returning(&door, ProgType::Xdp, 3);
    door.xdp_set(ifindex, Some(bounce), 0).expect("nothing is there");
    let device = until(&door, |device| device.ended);
    let (packets, bytes) = counted(&capture());
    assert_eq!((device.counts.tx, device.counts.sent), (packets, packets));
    assert_eq!(device.counts.sent_bytes, bytes);
    assert_eq!(counted(&out), (packets, bytes), "all are written when the capture ends");
    std::fs::remove_dir_all(&dir).expect("nobody else is in it");
}
