//! Program sections: what libbpf was recorded to make of each name.

mod support;

use loader::AttachPoint;

/// Sections whose programs attach by BTF, and how their targets are named there.
const BY_BTF: &[(&str, AttachPoint)] = &[
    ("fentry/f", AttachPoint::Function),
    ("fexit.s/f", AttachPoint::Function),
    ("fmod_ret/f", AttachPoint::Function),
    ("tp_btf/f", AttachPoint::RawTracepoint),
    ("lsm.s/f", AttachPoint::Lsm),
    ("lsm_cgroup/f", AttachPoint::Lsm),
    ("iter.s/f", AttachPoint::Iter),
    ("freplace/f", AttachPoint::Program),
];

#[test]
fn names_say_what_a_program_attaches_to() {
    let out = tempfile::tempdir().expect("temporary folder");
    let source = out.path().join("sections.c");
    let mut code = String::new();
    for (number, (section, _)) in BY_BTF.iter().enumerate() {
        code += &function(section, number);
    }
    code += &function("xdp", 100);
    code += &function("?xdp.frags/cpumap", 101);
    code += &function("no/such", 102);
    code += &function("xdp/more", 103);
    std::fs::write(&source, code).expect("written");
    let object = out.path().join("sections.o");
    if support::compile(&source, &object).is_none() {
        return;
    }
    let spec = support::parse_file(&object).expect("loads");
    for (number, (section, point)) in BY_BTF.iter().enumerate() {
        let program = spec.program(&format!("f{number}")).expect("program");
        assert_eq!(program.attach_point, Some(*point), "{section}");
        assert_eq!(program.attach_target.as_deref(), Some("f"), "{section}");
        assert_eq!(program.flags & 16 != 0, section.contains(".s/"), "{section}");
    }
    let xdp = spec.program("f100").expect("program");
    assert_eq!((xdp.attach_point, xdp.flags, xdp.autoload), (None, 0, true));
    let frags = spec.program("f101").expect("program");
    // BPF_XDP_CPUMAP, BPF_F_XDP_HAS_FRAGS.
    assert_eq!((frags.expected_attach_type, frags.flags, frags.autoload), (35, 32, false));
    assert_eq!(frags.section, "xdp.frags/cpumap");
    for name in ["f102", "f103"] {
        assert_eq!(spec.program(name).expect("program").prog_type, None, "{name}");
    }
}

fn function(section: &str, number: usize) -> String {
    format!("__attribute__((section(\"{section}\"))) int f{number}(void *ctx) {{ return 0; }}\n")
}

/// libbpf before 1.0 had maps as plain structs, and so have the books of its time.
#[test]
fn legacy_maps_are_read() {
    let out = tempfile::tempdir().expect("temporary folder");
    let (source, object) = (out.path().join("legacy.c"), out.path().join("legacy.o"));
    std::fs::write(&source, LEGACY).expect("written");
    if support::compile(&source, &object).is_none() {
        return;
    }
    let spec = support::parse_file(&object).expect("loads");
    let lines: Vec<String> = spec.maps.iter().map(support::map_line).collect();
    assert_eq!(lines, ["counts 1 4 8 256 0 0 0 0", "last 6 4 16 1 2 0 0 0"]);
    let program = spec.program("count").expect("program");
    let maps: Vec<(usize, Option<u32>)> =
        program.map_refs.iter().map(|at| (at.map, at.value_off)).collect();
    assert_eq!(maps, [(0, None), (1, None)]);
    let linked = program.link(&[70, 71]);
    for (at, fd) in program.map_refs.iter().zip([70, 71]) {
        // A 64-bit load from a descriptor: code 0x18, source 1.
        let insn = linked[at.insn];
        assert_eq!((insn.code, insn.src().0, insn.imm), (0x18, 1, fd));
    }
    assert_eq!((spec.license.as_str(), spec.version), ("GPL", 0x0005_0401));
}

const LEGACY: &str = r#"
struct bpf_map_def { unsigned type, key_size, value_size, max_entries, map_flags; };
struct bpf_map_def counts __attribute__((section("maps"))) = { 1, 4, 8, 256, 0 };
struct bpf_map_def last __attribute__((section("maps"))) = { 6, 4, 16, 1, 2 };
static void *(*lookup)(void *, const void *) = (void *)1;
__attribute__((section("xdp"))) int count(void *ctx) {
    int key = 0;
    return lookup(&counts, &key) != lookup(&last, &key);
}
char licence[] __attribute__((section("license"))) = "GPL";
int required __attribute__((section("version"))) = 0x50401;
"#;
