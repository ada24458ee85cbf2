//! Bad input gets one clear message: what, where, and no panic.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::elf::{EXIT, call, mov, program};
use common::{can_compile, capture, json, ok, refused, ring3, text};
use serde_json::Value;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        Dir(tempfile::tempdir().expect("a temporary folder"))
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("room");
        path
    }

    /// A C source with the usual headers, compiled.
    fn compile(&self, name: &str, source: &str) -> PathBuf {
        let head = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n";
        let tail = "\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n";
        let source = self.put(&format!("{name}.bpf.c"), format!("{head}{source}{tail}"));
        let object = self.0.path().join(format!("{name}.bpf.o"));
        ok(&ring3([Path::new("compile"), &source, Path::new("-o"), &object]));
        object
    }
}

fn run(file: &Path) -> std::process::Output {
    ring3([Path::new("run"), file, Path::new("--pcap"), &capture("web.pcap")])
}

/// The only row of `ring3 verify --json FILE`, and the exit status.
fn verify(file: &Path) -> (Value, i32) {
    let out = ring3([Path::new("verify"), Path::new("--json"), file]);
    let rows: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
    (rows[0].clone(), out.status.code().unwrap_or(-1))
}

#[test]
fn a_file_that_is_missing_is_named() {
    let message = refused(&ring3(["run", "nosuch.bpf.o", "--pcap", "captures/web.pcap"]), 2);
    assert!(message.starts_with("error: nosuch.bpf.o: No such file"), "{message}");
    let message = refused(&ring3(["run", "hello.bpf.c", "--pcap", "nosuch.pcap"]), 2);
    assert!(message.starts_with("error: nosuch.pcap: No such file"), "{message}");
}

#[test]
fn without_clang_the_package_is_named() {
    let out = Command::new(env!("CARGO_BIN_EXE_ring3"))
        .args(["compile", "hello.bpf.c", "-o", "/dev/null"])
        .current_dir(common::root().join("examples"))
        .env("PATH", "/nonexistent")
        .env_remove("CLANG")
        .output()
        .expect("ring3 starts");
    let message = refused(&out, 2);
    assert!(message.contains("apt-get install clang-19"), "{message}");
}

#[test]
fn source_that_clang_refuses_shows_what_clang_says() {
    if !can_compile() {
        return;
    }
    let dir = Dir::new();
    let source = dir.put("bad.bpf.c", "int x = ;\n");
    let message = refused(&ring3([Path::new("compile"), &source]), 1);
    assert!(message.contains("bad.bpf.c:1:9: error: expected expression"), "{message}");
}

#[test]
fn the_types_of_the_kernel_are_made_when_a_source_wants_them() {
    if !can_compile() {
        return;
    }
    let dir = Dir::new();
    let text = "#include \"vmlinux.h\"\n#include <bpf/bpf_helpers.h>\n
        SEC(\"xdp\") int f(struct xdp_md *c) { return c->data_end - c->data > 60 ? XDP_PASS : XDP_DROP; }
        char LICENSE[] SEC(\"license\") = \"GPL\";";
    let source = dir.put("types.bpf.c", text);
    let object = dir.0.path().join("types.o");
    let nowhere = Path::new("/nonexistent/btf");
    let btf = Path::new("--btf");
    let args = [Path::new("compile"), &source, Path::new("-o"), &object, btf, nowhere];
    let message = refused(&ring3(args), 2);
    assert!(message.contains("vmlinux.h cannot be made: /nonexistent/btf"), "{message}");
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("skipped: this kernel has no BTF");
        return;
    }
    ok(&ring3(&args[..4]));
    assert_eq!(verify(&object).0["verdict"], "accept");
}

#[test]
fn what_is_no_object_says_so() {
    let dir = Dir::new();
    let big_endian = {
        let mut bytes = program("xdp", "f", &[mov(2), EXIT].concat());
        bytes[5] = 2;
        bytes
    };
    let rows: &[(&str, &[u8], &str)] = &[
        ("empty.o", b"", "ELF"),
        ("text.o", b"hello\n", "ELF"),
        ("short.o", b"\x7fELF\x02\x01\x01", "ELF"),
        ("big.o", &big_endian, "big-endian"),
    ];
    for (name, bytes, want) in rows {
        let file = dir.put(name, bytes);
        let message = refused(&run(&file), 1);
        assert!(message.contains(name) && message.contains(want), "{message}");
        let (row, status) = verify(&file);
        assert_eq!((row["verdict"].as_str(), status), (Some("error"), 2), "{row}");
    }
}

#[test]
fn an_object_of_this_machine_is_no_bpf() {
    let message = refused(&run(Path::new("/proc/self/exe")), 1);
    assert!(message.contains("247"), "{message}");
}

#[test]
fn an_object_cut_anywhere_never_panics() {
    let dir = Dir::new();
    let whole = program("xdp", "f", &[mov(2), EXIT].concat());
    assert!(verify(&dir.put("whole.o", &whole)).0["verdict"] == "accept");
    for len in (0..whole.len()).step_by(13) {
        let file = dir.put("cut.o", &whole[..len]);
        let out = ring3([Path::new("verify"), &file]);
        assert_eq!(out.status.code(), Some(2), "{len}: {}", text(&out.stdout));
        assert_eq!(text(&out.stdout).lines().count(), 1, "{len}");
        assert_eq!(text(&out.stderr), "", "{len}");
    }
}

#[test]
fn damaged_btf_is_named() {
    if !can_compile() {
        return;
    }
    let dir = Dir::new();
    let object = dir.compile("b", "int n; SEC(\"xdp\") int f(void *c) { return n++ ? 1 : 2; }");
    let mut bytes = fs::read(&object).expect("an object");
    let magic = bytes.windows(4).position(|w| w == [0x9f, 0xeb, 1, 0]).expect("a BTF header");
    // Its length of types.
    bytes[magic + 12..magic + 16].copy_from_slice(&u32::MAX.to_le_bytes());
    let file = dir.put("bad.o", bytes);
    let message = refused(&run(&file), 1);
    assert!(message.contains("bad.o") && message.contains(".BTF"), "{message}");
}

#[test]
fn a_missing_section_is_named() {
    let dir = Dir::new();
    let file = dir.put("odd.o", program("nonsense", "f", &[mov(2), EXIT].concat()));
    let message = refused(&run(&file), 2);
    assert!(message.contains("section 'nonsense' names no type of program"), "{message}");
    let source = "int n; char LICENSE[] SEC(\"license\") = \"GPL\";";
    if can_compile() {
        let head = "#define SEC(name) __attribute__((section(name), used))\n";
        let file = dir.put("none.bpf.c", format!("{head}{source}"));
        let message = refused(&run(&file), 2);
        assert!(message.contains("none.bpf.c: no program"), "{message}");
    }
}

#[test]
fn an_unknown_helper_is_refused_as_linux_does() {
    let dir = Dir::new();
    let file = dir.put("helper.o", program("xdp", "f", &[call(9999), EXIT].concat()));
    let message = refused(&run(&file), 1);
    assert!(message.contains("invalid func unknown#9999"), "{message}");
    assert!(message.contains("at instruction 0"), "{message}");
    let (row, status) = verify(&file);
    assert_eq!((row["errno"].as_str(), status), (Some("EINVAL"), 1));
}

#[test]
fn a_map_with_keys_of_no_size_is_refused() {
    if !can_compile() {
        return;
    }
    let dir = Dir::new();
    let source = "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(key_size, 0);
        __uint(value_size, 4); __uint(max_entries, 1); } m SEC(\".maps\");
        SEC(\"xdp\") int f(void *c) { int k = 0; return bpf_map_lookup_elem(&m, &k) ? 1 : 2; }";
    let object = dir.compile("key", source);
    let message = refused(&run(&object), 1);
    assert!(message.contains("map 'm'") && message.contains("EINVAL"), "{message}");
    let (row, status) = verify(&object);
    assert_eq!((row["verdict"].as_str(), row["errno"].as_str()), (Some("reject"), Some("EINVAL")));
    assert_eq!(status, 1);
}

#[test]
fn two_million_instructions_are_refused_quickly() {
    let dir = Dir::new();
    let mut code = mov(2).repeat(2_000_000);
    code.extend(EXIT);
    let file = dir.put("long.o", program("xdp", "f", &code));
    let start = Instant::now();
    let message = refused(&run(&file), 1);
    assert!(message.contains("long.o") && message.contains("E2BIG"), "{message}");
    let (row, status) = verify(&file);
    assert_eq!((row["errno"].as_str(), status), (Some("E2BIG"), 1), "{row}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn several_programs_need_a_name() {
    if !can_compile() {
        return;
    }
    let dir = Dir::new();
    let source =
        "SEC(\"xdp\") int one(void *c) { return 1; } SEC(\"xdp\") int two(void *c) { return 2; }";
    let object = dir.compile("both", source);
    let message = refused(&run(&object), 2);
    assert!(message.contains("one, two"), "{message}");
    let web = capture("web.pcap");
    let web = web.to_str().expect("UTF-8");
    let object = object.to_str().expect("UTF-8");
    let report = json(&ring3(["run", object, "--pcap", web, "--prog", "two", "--json"]));
    assert_eq!(report["program"], "two");
    assert!(report["verdicts"]["XDP_PASS"].as_u64() > Some(100));
    let message = refused(&ring3(["run", object, "--pcap", web, "--prog", "three"]), 2);
    assert!(message.contains("no program 'three' (it has one, two)"), "{message}");
}

#[test]
fn hostile_captures_are_refused() {
    let dir = Dir::new();
    let object = dir.put("f.o", program("xdp", "f", &[mov(2), EXIT].concat()));
    let mut huge = fs::read(capture("web.pcap")).expect("a capture")[..24].to_vec();
    huge.extend([0; 8]);
    huge.extend(u32::MAX.to_le_bytes());
    huge.extend(u32::MAX.to_le_bytes());
    let rows: &[(&str, &[u8], &str)] = &[
        ("empty.pcap", b"", "empty"),
        ("text.pcap", b"hello, world", "not a capture"),
        ("huge.pcap", &huge, "a packet of 4294967295 bytes"),
        ("ng.pcap", &[0x0a, 0x0d, 0x0d, 0x0a, 255, 255, 255, 255, 0, 0, 0, 0], "byte-order"),
    ];
    for (name, bytes, want) in rows {
        let file = dir.put(name, bytes);
        let out = ring3([Path::new("run"), &object, Path::new("--pcap"), &file]);
        let message = refused(&out, 1);
        assert!(message.contains(name) && message.contains(want), "{message}");
    }
}

#[test]
fn nothing_to_run_on_says_what_to_give() {
    let dir = Dir::new();
    let object = dir.put("f.o", program("xdp", "f", &[mov(2), EXIT].concat()));
    let message = refused(&ring3([Path::new("run"), &object]), 2);
    assert!(message.contains("--pcap") && message.contains("--data-in"), "{message}");
}
