//! `ring3 fs mount`: pins as files of the machine, which read as the kernel's own do.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{have, ok, refused, text};
use tempfile::TempDir;

const TYPES: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
enum colour { RED, GREEN = 7 };
enum far { NEAR, FAR = 0x100000001ull };
struct inner { unsigned short a; signed char b; };
typedef struct inner inner_t;
typedef const enum colour colours_t[2];
struct element {
    int number; unsigned long long big; char text[8]; unsigned char bytes[3]; _Bool yes;
    unsigned low : 3, high : 9; int : 4; int negative : 5;
    enum colour colour; enum far far; inner_t pair[2]; int grid[2][3]; void *none;
    union { unsigned whole; unsigned char part[2]; }; const volatile short last; struct {} empty;
    const inner_t fixed; struct { int n; inner_t in[2]; inner_t after; } deep[2]; void *two[2];
    colours_t many;
};
struct key { unsigned short port; char name[4]; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2);
         __type(key, unsigned); __type(value, struct element); } array SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4);
         __type(key, struct key); __type(value, struct element); } hash SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 4);
         __type(key, long); __type(value, enum far); } lru SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 2);
         __type(key, unsigned); __type(value, inner_t); } percpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 2);
         __type(key, int); __type(value, long); } percpu_hash SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 2); __uint(map_flags, 1);
         __type(key, unsigned long); __type(value, int); } trie SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 2);
         __type(value, int); } queue SEC(".maps");
int counter = 5; short many[3] = {1, -2, 3}; char word[] = "hi";
SEC("socket") int prog(void *ctx) { return counter + many[0] + word[0]; }
char _license[] SEC("license") = "GPL";
"#;

/// What each side is told to do, with `P` for the folder of the pins.
const STEPS: [&str; 8] = [
    "prog loadall OBJECT P/progs pinmaps P/maps",
    "map update pinned P/maps/array key hex 01 00 00 00 value hex ELEMENT",
    "map update pinned P/maps/hash key hex 50 00 61 62 00 00 value hex ELEMENT",
    "map update pinned P/maps/hash key hex 51 00 00 0a 63 64 value hex ELEMENT",
    "map update pinned P/maps/lru key hex 01 02 00 00 00 00 00 80 value hex 01 00 00 00 01 00 00 00",
    "map update pinned P/maps/lru key hex 07 00 00 00 00 00 00 00 value hex 09 00 00 00 00 00 00 00",
    "map update pinned P/maps/percpu_hash key hex ff ff ff ff value hex EACH",
    "map update pinned P/maps/queue value hex 01 00 00 00",
];
/// Bytes of `struct element`.
const ELEMENT: usize = 160;

struct User {
    dir: TempDir,
}

impl User {
    fn ring3(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ring3"));
        command.args(args).env("XDG_RUNTIME_DIR", self.dir.path()).stdin(Stdio::null());
        command.output().expect("ring3 starts")
    }

    /// Whether the pins can be shown at `dir`; says so if not.
    fn mounts(&self, dir: &Path) -> bool {
        let done = self.ring3(&["fs", "mount", &dir.display().to_string()]);
        if !done.status.success() {
            eprintln!("skipped: {}", text(&done.stderr));
        }
        done.status.success()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.ring3(&["daemon", "stop"]);
    }
}

fn user() -> User {
    User { dir: tempfile::tempdir().expect("a folder") }
}

fn is_mounted(dir: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(&dir.display().to_string()))
}

/// The steps as words.
fn steps(object: &Path, pins: &str) -> Vec<String> {
    let element = |n: usize| format!("{:02x}", (n * 37 + 3) % 256);
    // Pointers are hashed with a seed of the kernel's own: null ones are not.
    let bytes: Vec<_> = (0..ELEMENT)
        .map(|n| match n {
            16..=18 => "68".to_owned(),
            80..=87 | 136..=151 => "00".to_owned(),
            27 => "01".to_owned(),
            _ => element(n),
        })
        .collect();
    let each = "f7 ff ff ff ff ff ff ff";
    STEPS
        .iter()
        .map(|step| {
            step.replace("OBJECT", &object.display().to_string())
                .replace("P/", &format!("{pins}/"))
                .replace("ELEMENT", &bytes.join(" "))
                .replace("EACH", each)
        })
        .collect()
}

/// Lines in order: hash maps have none.
fn sorted(text: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> =
        text.split(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string()).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn maps_read_as_the_kernels_do() {
    // Names of pins have no dots.
    let dir = tempfile::Builder::new().prefix("ring3").tempdir().expect("a folder");
    let user = user();
    if !have("clang-19") || !have("bpftool") {
        return;
    }
    let (source, object) = (dir.path().join("types.bpf.c"), dir.path().join("types.o"));
    fs::write(&source, TYPES).expect("written");
    let mut clang = Command::new("clang-19");
    clang.args(["-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c"]);
    ok(&clang.arg(&source).arg("-o").arg(&object).output().expect("clang starts"));

    // The kernel's, in a mount namespace of its own.
    let pins = dir.path().join("kernel");
    fs::create_dir(&pins).expect("made");
    let pins = pins.display().to_string();
    let mut script = format!("mount -t bpf none {pins} || exit 9\n");
    for step in steps(&object, &pins) {
        script += &format!("bpftool {step} >&2 || exit 8\n");
    }
    let texts = dir.path().join("texts").display().to_string();
    script +=
        &format!("mkdir {texts}; cd {pins}/maps; for f in *; do cat $f >{texts}/$f 2>&1; done");
    let kernel = Command::new("unshare").args(["-m", "sh", "-c", &script]).output();
    let kernel = kernel.expect("unshare starts");
    if kernel.status.code() == Some(9) || kernel.status.code() == Some(1) {
        eprintln!("skipped: no bpffs may be mounted here: {}", text(&kernel.stderr));
        return;
    }
    ok(&kernel);

    let ours = dir.path().join("ours");
    fs::create_dir(&ours).expect("made");
    if !user.mounts(&ours) {
        return;
    }
    for step in steps(&object, "/sys/fs/bpf") {
        let words: Vec<_> = step.split(' ').collect();
        ok(&user.ring3(&words));
    }
    let shown = ours.join("maps");
    let mut compared = 0;
    for file in fs::read_dir(texts).expect("texts") {
        let file = file.expect("a file");
        let (name, wanted) = (file.file_name(), fs::read(file.path()).expect("a text"));
        match fs::read(shown.join(&name)) {
            Ok(text) => assert_eq!(sorted(&text), sorted(&wanted), "{name:?}"),
            // Those without a text can be opened by nobody.
            Err(error) => {
                let (why, wanted) = (error.to_string(), text(&wanted));
                let why = why.split(" (os").next().expect("a reason");
                assert!(wanted.trim_end().ends_with(why), "{name:?}: {why}, not {wanted}");
            }
        }
        compared += 1;
    }
    assert!(compared >= 8, "{compared}");
    assert_eq!(ok(&user.ring3(&["fs", "cat", "maps/percpu"])), {
        fs::read_to_string(shown.join("percpu")).expect("readable")
    });
}

#[test]
fn a_folder_shows_the_pins_until_the_daemon_ends() {
    let (dir, user) = (tempfile::tempdir().expect("a folder"), user());
    let shown = dir.path().canonicalize().expect("a folder").join("shown here");
    fs::create_dir(&shown).expect("made");
    if !user.mounts(&shown) {
        return;
    }
    let path = |name: &str| shown.join(name).display().to_string();
    let message = refused(&user.ring3(&["fs", "mount", &path("")]), 1);
    assert!(message.contains("already"), "{message}");
    ok(&user.ring3(&["fs", "mkdir", "mine"]));
    fs::create_dir(path("mine/deeper")).expect("made there");
    assert_eq!(ok(&user.ring3(&["fs", "ls", "mine"])), "deeper/\n");
    let create = ["map", "create", &path("mine/m"), "type", "array", "key", "4", "value", "4"];
    ok(&user.ring3(&[&create[..], &["entries", "1", "name", "m"]].concat()));
    assert_eq!(ok(&user.ring3(&["fs", "ls", "mine"])), "deeper/\nm\n");
    let names = |name: &str| {
        let entries = fs::read_dir(path(name)).expect("readable");
        let mut names: Vec<_> = entries
            .map(|entry| text(entry.expect("an entry").file_name().as_encoded_bytes()))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("mine"), ["deeper", "m"]);
    // As in bpffs: no files but pins, no text without types.
    let errno = |error: std::io::Error| error.raw_os_error();
    assert_eq!(fs::write(path("mine/new"), "x").map_err(errno), Err(Some(1)));
    assert_eq!(fs::read(path("mine/m")).map_err(errno), Err(Some(5)));
    assert_eq!(fs::remove_dir(path("mine")).map_err(errno), Err(Some(39)));
    fs::rename(path("mine/m"), path("n")).expect("renamed");
    assert_eq!(names(""), ["mine", "n"]);
    fs::remove_file(path("n")).expect("unpinned");
    refused(&user.ring3(&["map", "show", "id", "1"]), 255);
    fs::remove_dir(path("mine/deeper")).expect("removed");

    ok(&user.ring3(&["fs", "umount", &path("")]));
    assert!(!fs::read_to_string("/proc/self/mounts").expect("mounts").contains("shown"));
    assert_eq!(names(""), [""; 0]);
    assert!(user.mounts(&shown));
    assert_eq!(names(""), ["mine"]);
    ok(&user.ring3(&["daemon", "stop"]));
    assert_eq!(names(""), [""; 0]);
}

#[test]
fn what_a_killed_daemon_left_goes_with_the_next_one() {
    let (dir, user) = (tempfile::tempdir().expect("a folder"), user());
    let shown = dir.path().canonicalize().expect("a folder").join("shown");
    fs::create_dir(&shown).expect("made");
    if !user.mounts(&shown) {
        return;
    }
    let status = common::json(&user.ring3(&["daemon", "status", "--json"]));
    let pid = status["pid"].as_u64().expect("a number").to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill starts").success());
    while fs::read_dir(&shown).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(is_mounted(&shown));
    ok(&user.ring3(&["fs", "ls"]));
    assert!(!is_mounted(&shown));
    assert!(user.mounts(&shown));
}
