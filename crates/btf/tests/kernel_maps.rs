//! Values of a real kernel map, printed by us and by the installed bpftool.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use btf::print::{Form, JsonText};
use btf::{Btf, Kind, print};
use serde_json::Value;

/// Loads an object in a mount namespace of its own, stores values, dumps the map both ways, and
/// leaves nothing behind: the pins end with the namespace.
fn dumps(object: &str, map: &str, updates: &[String]) -> Option<(String, String)> {
    let pins = Path::new(object).with_file_name("pins");
    let pins = pins.to_str().expect("UTF-8 path");
    let update: String = updates
        .iter()
        .map(|update| format!("bpftool map update pinned {pins}/m/{map} {update} && "))
        .collect();
    let script = format!(
        "mkdir -p {pins} && mount -t bpf none {pins} && mkdir {pins}/m && \
         bpftool prog loadall {object} {pins}/p pinmaps {pins}/m >/dev/null && \
         {update} bpftool -j map dump pinned {pins}/m/{map} && echo '=====' && \
         bpftool map dump pinned {pins}/m/{map}"
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8(output.stdout).expect("bpftool prints UTF-8");
            let (json, plain) = text.split_once("=====\n").expect("two dumps");
            Some((json.to_owned(), plain.to_owned()))
        }
        Ok(output) => {
            eprintln!("skipped: bpftool: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            eprintln!("skipped: unshare: {error}");
            None
        }
    }
}

/// Compiles C for BPF; the folder lives as long as the object is needed.
fn compile(source: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    // libbpf changes dots in the paths of pins.
    let folder = tempfile::Builder::new().prefix("ring3-btf").tempdir().expect("a folder");
    let (c, o) = (folder.path().join("a.c"), folder.path().join("a.o"));
    std::fs::write(&c, source).expect("written");
    let clang = Command::new("clang-19")
        .args(["-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", "-o"])
        .arg(&o)
        .arg(&c)
        .output();
    match clang {
        Ok(output) if output.status.success() => Some((folder, o)),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("skipped: clang-19: {error}");
            None
        }
    }
}

const SOURCE: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
enum colour { RED, GREEN = 5, NEGATIVE = -7 };
enum wide { LARGE = 0x100000002ULL, SMALL = 3 };
typedef char letter;
struct value {
    char c; signed char sc; unsigned char uc; _Bool yes, no, filler[2];
    short s; unsigned short us; int i; unsigned int u; long l; unsigned long ul;
    __int128 big; unsigned __int128 ubig;
    enum colour colour; enum wide wide;
    int b1: 3; unsigned int b2: 7; unsigned long b3: 40; int : 5; long b4: 60;
    char text[8]; letter letters[4]; const char constant[4]; unsigned char bytes[3];
    void *pointer; void (*function)(int);
    int matrix[2][2];
    union { int whole; char parts[4]; };
    struct { const volatile int *p; struct { short x; } deep[2]; } inner;
};
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8);
    __type(key, int); __type(value, struct value); } things SEC(".maps");
int counter = 5;
char greeting[6] = "hello";
struct value initial = { .i = 3 };
SEC("socket") int run(void *ctx) {
    int key = 1; counter++; initial.i++; greeting[0]++;
    return bpf_map_lookup_elem(&things, &key) ? 1 : 0;
}
char LICENSE[] SEC("license") = "GPL";
"#;

#[test]
fn random_values_as_bpftool_prints_them() {
    let Some((_folder, object)) = compile(SOURCE) else { return };
    let btf = Btf::parse(&common::section(&object, ".BTF").expect("BTF")).expect("clang's BTF");
    let id = btf.find_by_name("value", Kind::Struct).expect("the value's type");
    let int = btf.find_by_name("int", Kind::Int).expect("int");
    let size = btf.size_of(id).expect("a size") as usize;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // Zeros, ones, text, and noise; bpftool reads booleans as four bytes, so keep them plain.
    let values: Vec<Vec<u8>> = (0..6_u64)
        .map(|kind| {
            let mut bytes: Vec<u8> = (0..size as u64)
                .map(|at| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(at + 1);
                    [0, 1, 0x41 + at as u8 % 26, (state >> 56) as u8, 0xff, (at % 5) as u8]
                        [kind as usize]
                })
                .collect();
            let yes = btf.ty(id).expect("found").members().find(|member| member.name == "yes");
            let at = yes.expect("the boolean").bit_offset as usize / 8;
            bytes[at..at + 4].copy_from_slice(&[u8::from(kind != 0), 0, 0, 0]);
            if kind != 0 {
                bytes[at] = 1;
            }
            bytes
        })
        .collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!(" {byte:02x}")).collect::<String>();
    let updates: Vec<String> = (0_u32..)
        .zip(&values)
        .map(|(key, value)| format!("key hex{} value hex{}", hex(&key.to_le_bytes()), hex(value)))
        .collect();
    let path = object.to_str().expect("UTF-8 path");
    let Some((json, plain)) = dumps(path, "things", &updates) else { return };

    let read = |bytes: &Value| -> Vec<u8> {
        let byte = |text: &Value| u8::from_str_radix(&text.as_str().expect("text")[2..], 16);
        bytes.as_array().expect("bytes").iter().map(|text| byte(text).expect("hex")).collect()
    };
    let theirs: Value = serde_json::from_str(&json).expect("JSON");
    let elements = theirs.as_array().expect("a list");
    assert_eq!(elements.len(), values.len());
    let mut text = JsonText::new(Form::PLAIN_OLD);
    text.begin_array();
    for element in elements {
        let (key, value) = (read(&element["key"]), read(&element["value"]));
        let tree = print::value(&btf, id, &value).expect("a value");
        let formatted = &element["formatted"]["value"];
        assert_eq!(&tree, formatted);
        text.begin_object();
        text.name("key");
        print::write(&btf, int, &key, &mut text).expect("a key");
        text.name("value");
        print::write(&btf, id, &value, &mut text).expect("a value");
        text.end_object();
    }
    text.end_array();
    assert_eq!(text.as_str(), plain.trim_end());
}

#[test]
fn data_sections_as_bpftool_prints_them() {
    let Some((_folder, object)) = compile(SOURCE) else { return };
    let path = object.to_str().expect("UTF-8 path");
    let pins = object.with_file_name("pins");
    let pins = pins.to_str().expect("UTF-8 path");
    // The kernel's copy has the sizes and offsets; ask for it beside the dump.
    let script = format!(
        "mkdir -p {pins} && mount -t bpf none {pins} && mkdir {pins}/m && \
         bpftool prog loadall {path} {pins}/p pinmaps {pins}/m >/dev/null && \
         bpftool -j map dump pinned {pins}/m/a_data && echo '=====' && \
         bpftool btf dump map pinned {pins}/m/a_data all"
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output();
    let text = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => {
            eprintln!("skipped: bpftool: {}", String::from_utf8_lossy(&output.stderr));
            return;
        }
        Err(error) => {
            eprintln!("skipped: unshare: {error}");
            return;
        }
    };
    let text = String::from_utf8(text).expect("bpftool prints UTF-8");
    let (json, types) = text.split_once("=====\n").expect("two dumps");
    // Fix our copy up by what the kernel's says, with the builder a loader uses.
    let btf = Btf::parse(&common::section(&object, ".BTF").expect("BTF")).expect("clang's BTF");
    let id = btf.find_by_name(".data", Kind::Datasec).expect("the section");
    let mut edit = btf::BtfBuilder::from_btf(&btf);
    let lines = types.lines().skip_while(|line| !line.contains("DATASEC '.data'")).skip(1);
    for (index, line) in lines.take_while(|line| line.starts_with('\t')).enumerate() {
        let number = |field: &str| -> u32 {
            let rest = line.split_once(field).expect("a field").1;
            rest.split([' ', '\t']).next().expect("a number").parse().expect("a number")
        };
        let type_id = btf::TypeId(number("type_id="));
        let (offset, size) = (number("offset="), number("size="));
        edit.set_sec_info(id, index as u32, btf::SecInfo { type_id, offset, size });
    }
    let btf = edit.build().expect("good changes");
    let theirs: Value = serde_json::from_str(json).expect("JSON");
    let bytes: Vec<u8> = theirs[0]["value"]
        .as_array()
        .expect("bytes")
        .iter()
        .map(|byte| u8::from_str_radix(&byte.as_str().expect("text")[2..], 16).expect("hex"))
        .collect();
    let ours = print::value(&btf, id, &bytes).expect("a value");
    assert_eq!(ours, theirs[0]["formatted"]["value"]);
    assert_eq!(ours[".data"][0]["counter"], 5);
}
