//! What is wrong with an object, in libbpf's words where it has some.

mod support;

use std::process::Command;

use loader::Object;

const HEADER: &str = "#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n\
    char _license[] SEC(\"license\") = \"GPL\";\n";

/// The members of a map, the whole definition, or another global; each is used by a program.
const CASES: &[(&str, &str)] = &[
    ("unknown field", "struct { __uint(type, 1); __uint(nonsense, 3); } m SEC(\".maps\");"),
    ("no type", "struct { __uint(max_entries, 1); } m SEC(\".maps\");"),
    (
        "two sizes",
        "struct { __uint(type, 1); __uint(key_size, 8); __type(key, int); } m SEC(\".maps\");",
    ),
    (
        "two value sizes",
        "struct { __uint(type, 1); __uint(value_size, 8); __type(value, int); } m SEC(\".maps\");",
    ),
    ("a number as it is", "struct { int type; } m SEC(\".maps\");"),
    ("a pointer to a number", "struct { int *type; } m SEC(\".maps\");"),
    ("a key as it is", "struct { __uint(type, 1); int key; } m SEC(\".maps\");"),
    ("a value as it is", "struct { __uint(type, 1); int value; } m SEC(\".maps\");"),
    ("pinning", "struct { __uint(type, 1); __uint(pinning, 7); } m SEC(\".maps\");"),
    ("static", "static struct { __uint(type, 1); } m SEC(\".maps\");"),
    ("no struct", "int m SEC(\".maps\");"),
    (
        "nested twice",
        "struct in { __uint(type, 12); __array(values, struct { __uint(type, 2); }); };\n\
         struct { __uint(type, 12); __array(values, struct in); } m SEC(\".maps\");",
    ),
    (
        "pinned inside",
        "struct in { __uint(type, 2); __uint(pinning, 1); };\n\
         struct { __uint(type, 12); __array(values, struct in); } m SEC(\".maps\");",
    ),
    ("values of an array", "struct { __uint(type, 1); __array(values, int); } m SEC(\".maps\");"),
    ("missing configuration", "extern int CONFIG_NO_SUCH __kconfig;\n#define m CONFIG_NO_SUCH"),
    ("no such value", "extern int LINUX_HAS_NO_SUCH __kconfig;\n#define m LINUX_HAS_NO_SUCH"),
    ("missing variable", "extern const int no_such_variable __ksym;\n#define m no_such_variable"),
    ("missing address", "extern const void no_such_symbol __ksym;\n#define m no_such_symbol"),
    (
        "missing function",
        "extern void no_such_kfunc(void) __ksym;\nstatic int *call(void) { no_such_kfunc(); return 0; }\n\
         #define m (*call())",
    ),
];

#[test]
fn what_is_wrong_is_said_as_libbpf_says_it() {
    let out = tempfile::tempdir().expect("temporary folder");
    let (Some(oracle), Some(kernel)) = (support::oracle(), support::kernel()) else { return };
    for (number, (name, code)) in CASES.iter().enumerate() {
        let c = out.path().join(format!("case{number}.bpf.c"));
        let program = "SEC(\"socket\") int program(void *ctx) { return (long)&m; }";
        std::fs::write(&c, format!("{HEADER}{code}\n{program}\n")).expect("written");
        let object = c.with_extension("o");
        let Some(()) = support::compile(&c, &object) else { return };
        let answer = Command::new(oracle).arg(&object).arg("messages").output().expect("runs");
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        let theirs = said.lines().find_map(|line| line.strip_prefix("libbpf: ")).unwrap_or("");
        let bytes = std::fs::read(&object).expect("read");
        let ours = Object::parse(&bytes).and_then(|mut spec| support::resolve(&mut spec, kernel));
        let ours = ours.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(ours, theirs, "{name}\n{said}");
    }
}
