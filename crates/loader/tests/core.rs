//! CO-RE against types made for it: each case alone, as libbpf relocates it or refuses it.

mod support;

use std::path::{Path, PathBuf};

use btf::Btf;
use loader::Spec;

/// What `p` points to, types of the object, and what the program stores.
const CASES: &[(&str, &str, &str)] = &[
    // Offsets, sizes, existence and sign of fields.
    ("struct plain", "struct plain { int a; } K;", "p->a"),
    ("struct plain", "struct plain { int a; } K;", "EXISTS(p->a)"),
    ("struct plain", "struct plain { int a; } K;", "SIGNED(p->a)"),
    ("struct plain", "struct plain { int a; } K;", "OFFSET(p->a)"),
    ("struct plain", "struct plain { int a; } K;", "SIZE(p->a)"),
    ("struct plain", "struct plain { unsigned short b; } K;", "p->b"),
    ("struct plain", "struct plain { unsigned short b; } K;", "SIGNED(p->b)"),
    ("struct plain", "struct plain { char name[16]; } K;", "p->name[5]"),
    ("struct plain", "struct plain { char name[16]; } K;", "SIZE(p->name)"),
    ("struct plain", "struct plain { char name[16]; } K;", "SIZE(p->name[3])"),
    ("struct plain", "struct plain { char name[16]; } K;", "OFFSET(p->name[3])"),
    ("struct plain", "struct plain { char name[64]; } K;", "OFFSET(p->name[40])"),
    ("struct plain", "struct plain { char name[64]; } K;", "EXISTS(p->name[40])"),
    ("struct plain", "struct plain { char name[16]; } K;", "SIGNED(p->name[3])"),
    ("struct plain", "struct inner { int x; } K; struct plain { struct inner in; } K;", "p->in.x"),
    (
        "struct plain",
        "struct inner { int x; } K; struct plain { struct inner list[2]; } K;",
        "p->list[1].x",
    ),
    (
        "struct plain",
        "struct inner { long y; } K; struct plain { struct inner list[2]; } K;",
        "OFFSET(p->list[1].y)",
    ),
    (
        "struct plain",
        "struct inner { long y; } K; struct plain { struct inner in; } K;",
        "SIZE(p->in)",
    ),
    ("struct plain", "struct plain { int deep; } K;", "p->deep"),
    ("struct plain", "struct plain { union { struct { long z; int deep; }; }; } K;", "p->deep"),
    ("struct plain", "struct plain { long other; } K;", "p->other"),
    ("struct plain", "struct plain { long grid[4][5]; } K;", "p->grid[2][3]"),
    ("struct plain", "struct plain { long grid[4][5]; } K;", "OFFSET(p->grid[2])"),
    ("struct plain", "struct plain { long grid[9][5]; } K;", "OFFSET(p->grid[7][3])"),
    ("struct plain", "struct plain { struct plain *next; } K;", "p->next->next != 0"),
    ("struct plain", "struct plain { int flexible[]; } K;", "p->flexible[7]"),
    ("struct plain", "struct plain { int flexible[3]; } K;", "p->flexible[2]"),
    ("struct plain", "struct plain { int a; } K;", "(p + 2)->a"),
    ("struct plain", "struct plain { float ratio; } K;", "OFFSET(p->ratio)"),
    ("struct plain", "struct plain { int *callback; } K;", "OFFSET(p->callback)"),
    (
        "struct nested",
        "struct nested { struct { struct { struct { int bottom; } K three; } K two; } K one; } K;",
        "p->one.two.three.bottom",
    ),
    // Fields that are missing or of another kind.
    ("struct plain", "struct plain { int missing; } K;", "p->missing"),
    ("struct plain", "struct plain { int missing; } K;", "EXISTS(p->missing)"),
    ("struct plain", "struct plain { int missing; } K;", "SIZE(p->missing)"),
    ("struct missing", "struct missing { int a; } K;", "p->a"),
    ("struct missing", "struct missing { int a; } K;", "EXISTS(p->a)"),
    ("struct wrong_kind", "struct wrong_kind { int field; int array; } K;", "p->field"),
    ("struct wrong_kind", "struct wrong_kind { int field; int array; } K;", "EXISTS(p->array)"),
    ("struct plain", "struct plain { struct { int x; } K a; } K;", "EXISTS(p->a.x)"),
    ("union plain", "union plain { int a; } K;", "p->a"),
    ("union either", "union either { int a; long b; } K;", "p->b"),
    // Loads whose size changes.
    ("struct plain", "struct plain { unsigned int grown; } K;", "p->grown"),
    ("struct plain", "struct plain { unsigned int shrunk; } K;", "p->shrunk"),
    ("struct plain", "struct plain { int signed_grown; } K;", "p->signed_grown"),
    ("struct plain", "struct plain { int signed_grown; } K;", "SIZE(p->signed_grown)"),
    ("struct plain", "struct plain { int grown; } K;", "p->grown"),
    ("struct plain", "struct plain { short count; } K;", "OFFSET(p->count)"),
    ("struct plain", "struct plain { unsigned short count; } K;", "(p->count = 5)"),
    ("struct plain", "struct plain { _Bool shrunk; } K;", "p->shrunk"),
    ("struct plain", "struct plain { char *text; } K;", "p->text != 0"),
    ("struct plain", "enum colour { RED }; struct plain { enum colour colour; } K;", "p->colour"),
    (
        "struct plain",
        "enum other { OTHER }; struct plain { enum other colour; } K;",
        "EXISTS(p->colour)",
    ),
    (
        "struct plain",
        "enum colour___f { OTHER }; struct plain { enum colour___f colour; } K;",
        "SIGNED(p->colour)",
    ),
    // Bit-fields.
    ("struct bits", "struct bits { unsigned first : 3; } K;", "BITS(p->first)"),
    ("struct bits", "struct bits { int second : 5; } K;", "BITS(p->second)"),
    ("struct bits", "struct bits { int second : 5; } K;", "SIGNED(p->second)"),
    ("struct bits", "struct bits { u64 third : 40; } K;", "BITS(p->third)"),
    ("struct bits", "struct bits { unsigned fourth : 31; } K;", "BITS(p->fourth)"),
    ("struct bits", "struct bits { unsigned fifth : 2; } K;", "BITS(p->fifth)"),
    ("struct bits", "struct bits { unsigned whole : 9; } K;", "BITS(p->whole)"),
    ("struct bits", "struct bits { u64 whole; } K;", "BITS(p->whole)"),
    ("struct bits", "struct bits { u64 tiny; } K;", "BITS(p->tiny)"),
    ("struct bits", "struct bits { unsigned char tiny : 2; } K;", "BITS(p->tiny)"),
    ("struct bits", "struct bits { unsigned missing : 2; } K;", "BITS(p->missing)"),
    ("struct packed_bits", "struct packed_bits { u64 wide : 60; } K;", "BITS(p->wide)"),
    ("struct packed_bits", "struct packed_bits { u64 more : 60; } K;", "BITS(p->more)"),
    // Candidates that agree and that do not.
    ("struct twice", "struct twice { int same; } K;", "p->same"),
    ("struct twice", "struct twice { int differs; } K;", "p->differs"),
    ("struct twice", "struct twice { int gap; } K;", "p->gap"),
    ("struct twice___mine", "struct twice___mine { int gap; } K;", "p->gap"),
    ("struct twice", "struct twice { int gap, differs; } K;", "p->gap + p->differs"),
    ("struct twice", "struct twice { int differs, gap; } K;", "p->differs + p->gap"),
    ("struct twice", "struct twice { int x; };", "TYPE_SIZE(struct twice)"),
    ("struct twice", "struct twice { int x; };", "TYPE_EXISTS(struct twice)"),
    ("struct twice", "struct twice { int x; };", "TYPE_ID_TARGET(struct twice)"),
    // Types.
    ("struct plain", "struct plain { int x; };", "TYPE_EXISTS(struct plain)"),
    ("union plain", "union plain { int x; };", "TYPE_EXISTS(union plain)"),
    ("struct plain___new", "struct plain___new { int x; };", "TYPE_SIZE(struct plain___new)"),
    ("struct plain", "struct plain { int x; };", "TYPE_ID_TARGET(struct plain)"),
    ("struct plain", "struct plain { int x; };", "TYPE_ID_LOCAL(struct plain)"),
    ("struct missing", "struct missing { int x; };", "TYPE_ID_TARGET(struct missing)"),
    ("struct missing", "struct missing { int x; };", "TYPE_ID_LOCAL(struct missing)"),
    ("struct missing", "struct missing { int x; };", "TYPE_SIZE(struct missing)"),
    ("struct empty", "struct empty {};", "TYPE_SIZE(struct empty)"),
    ("int", "typedef u64 counter_t;", "TYPE_EXISTS(counter_t)"),
    ("int", "typedef int counter_t;", "TYPE_SIZE(counter_t)"),
    ("int", "typedef int *counter_t;", "TYPE_EXISTS(counter_t)"),
    ("int", "typedef struct { int x; } unnamed_t;", "TYPE_EXISTS(unnamed_t)"),
    ("int", "typedef struct { int x; } plain_t;", "TYPE_SIZE(plain_t)"),
    ("int", "typedef int (*callback_t)(void *, char *, int);", "TYPE_EXISTS(callback_t)"),
    (
        "int",
        "typedef int (*callback_t)(struct plain *, const char *, u64);",
        "TYPE_EXISTS(callback_t)",
    ),
    (
        "int",
        "typedef void (*callback_t)(struct plain *, const char *, u64);",
        "TYPE_EXISTS(callback_t)",
    ),
    ("int", "typedef int (*callback_t)(int);", "TYPE_EXISTS(callback_t)"),
    ("int", "enum colour { X };", "TYPE_SIZE(enum colour)"),
    ("int", "enum wide { X = 1 };", "TYPE_EXISTS(enum wide)"),
    // The same types in layout.
    ("struct inner", "struct inner { int pad; int x; long y; };", "MATCHES(struct inner)"),
    ("struct inner", "struct inner { long y; int x; };", "MATCHES(struct inner)"),
    ("struct inner", "struct inner { int y; };", "MATCHES(struct inner)"),
    ("struct inner", "struct inner { unsigned x; };", "MATCHES(struct inner)"),
    ("struct inner", "struct inner { int missing; };", "MATCHES(struct inner)"),
    ("struct inner", "struct inner { int x, y, pad, more; };", "MATCHES(struct inner)"),
    ("struct plain", "struct plain { long grid[4][5]; char name[16]; };", "MATCHES(struct plain)"),
    ("struct plain", "struct plain { char name[17]; };", "MATCHES(struct plain)"),
    (
        "struct points",
        "struct plain; struct points { struct plain *plain; };",
        "MATCHES(struct points)",
    ),
    (
        "struct points",
        "union plain; struct points { union plain *plain; };",
        "MATCHES(struct points)",
    ),
    (
        "struct points",
        "struct forward { int x; }; struct points { struct forward *forward; };",
        "MATCHES(struct points)",
    ),
    (
        "struct points",
        "struct other; struct points { struct other *plain; };",
        "MATCHES(struct points)",
    ),
    ("struct points", "struct points { void *plain; };", "MATCHES(struct points)"),
    ("struct plain", "struct plain { void *text; };", "MATCHES(struct plain)"),
    ("int", "enum colour { RED = 9, GREEN };", "MATCHES(enum colour)"),
    ("int", "enum colour { RED = 9, MISSING };", "MATCHES(enum colour)"),
    ("int", "enum colour { RED = 0x100000000 };", "MATCHES(enum colour)"),
    ("int", "enum wide { WIDE_A = 0x100000000, WIDE_B___f };", "MATCHES(enum wide)"),
    ("int", "typedef int (*callback_t)(struct plain *, const char *, u64);", "MATCHES(callback_t)"),
    (
        "int",
        "typedef int (*callback_t)(struct plain *, const char *, long);",
        "MATCHES(callback_t)",
    ),
    ("int", "union either { long b; int a; };", "MATCHES(union either)"),
    ("struct plain", "struct plain { float ratio; };", "MATCHES(struct plain)"),
    ("int", "typedef struct { int unnamed; } unnamed_t;", "MATCHES(unnamed_t)"),
    // Values of enums.
    ("int", "enum colour { RED = 1 };", "VALUE(enum colour, RED)"),
    ("int", "enum colour { GREEN = 1 };", "VALUE(enum colour, GREEN)"),
    ("int", "enum colour { GREEN = -1 };", "VALUE(enum colour, GREEN)"),
    ("int", "enum colour { BLUE___f = 1 };", "VALUE(enum colour, BLUE___f)"),
    ("int", "enum colour { MISSING = 1 };", "VALUE(enum colour, MISSING)"),
    ("int", "enum colour { MISSING = 1 };", "HAS_VALUE(enum colour, MISSING)"),
    ("int", "enum colour___v { RED = 1 };", "HAS_VALUE(enum colour___v, RED)"),
    (
        "int",
        "enum unsigned_colour { UNSIGNED_RED = 0xf0000000u };",
        "VALUE(enum unsigned_colour, UNSIGNED_RED)",
    ),
    ("int", "enum wide { WIDE_A = 1 };", "VALUE(enum wide, WIDE_A)"),
    ("int", "enum wide { WIDE_B = -1LL, BIG = 0x100000000LL };", "VALUE(enum wide, WIDE_B)"),
    (
        "int",
        "enum unsigned_wide { UNSIGNED_WIDE = 0xf000000000000000ULL };",
        "VALUE(enum unsigned_wide, UNSIGNED_WIDE)",
    ),
    ("int", "enum missing { RED = 1 };", "HAS_VALUE(enum missing, RED)"),
    ("int", "typedef enum { RED = 1 } colour;", "HAS_VALUE(colour, RED)"),
];

const HEAD: &str = r#"
typedef unsigned long long u64;
#define K __attribute__((preserve_access_index))
#define OFFSET(f) __builtin_preserve_field_info(f, 0)
#define SIZE(f) __builtin_preserve_field_info(f, 1)
#define EXISTS(f) __builtin_preserve_field_info(f, 2)
#define SIGNED(f) __builtin_preserve_field_info(f, 3)
#define BITS(f) (OFFSET(f) * 1000 + SIZE(f) * 100 + __builtin_preserve_field_info(f, 4) * 10 + __builtin_preserve_field_info(f, 5))
#define TYPE_EXISTS(t) __builtin_preserve_type_info(*(t *)0, 0)
#define TYPE_SIZE(t) __builtin_preserve_type_info(*(t *)0, 1)
#define MATCHES(t) __builtin_preserve_type_info(*(t *)0, 2)
#define TYPE_ID_LOCAL(t) __builtin_btf_type_id(*(t *)0, 0)
#define TYPE_ID_TARGET(t) __builtin_btf_type_id(*(t *)0, 1)
#define HAS_VALUE(t, v) __builtin_preserve_enum_value(*(t *)v, 0)
#define VALUE(t, v) __builtin_preserve_enum_value(*(t *)v, 1)
u64 out;
"#;

fn compile_case(folder: &Path, number: usize, case: (&str, &str, &str)) -> Option<PathBuf> {
    let (root, types, value) = case;
    let source = folder.join(format!("case{number}.c"));
    let code = format!(
        "{HEAD}{types}\n__attribute__((section(\"raw_tp/x\"))) int prog(u64 *ctx)\n\
         {{ {root} *p = (void *)ctx[0]; out = (u64)({value}); return p != 0; }}\n"
    );
    std::fs::write(&source, code).expect("written");
    let object = source.with_extension("o");
    support::compile(&source, &object).map(|()| object)
}

#[test]
fn every_case_is_relocated_as_libbpf_relocates_it() {
    let out = tempfile::tempdir().expect("temporary folder");
    let target_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/core/target.c");
    let target_object = out.path().join("target.o");
    if support::compile(&target_source, &target_object).is_none() || support::oracle().is_none() {
        return;
    }
    let target = btf_of(&target_object);
    let (mut report, mut relocated, mut refused, mut poisoned) = (String::new(), 0, 0, 0);
    for (number, case) in CASES.iter().enumerate() {
        let Some(object) = compile_case(out.path(), number, *case) else {
            report += &format!("case {number} does not compile: {case:?}\n");
            continue;
        };
        let answer = support::ask_with(&object, "case", Some(&target_object)).expect("an answer");
        let mut spec = support::parse_file(&object).expect("opens");
        let ours = spec.relocate_core(&[&target]);
        match (&ours, answer.load_error) {
            (Err(_), Some(_)) => refused += 1,
            (Ok(()), None) => {
                relocated += 1;
                poisoned += usize::from(!spec.programs[0].unresolved.is_empty());
                check(&spec, &answer, &format!("{case:?}"), &mut report);
            }
            _ => {
                report += &format!("{case:?}: {ours:?}, libbpf {:?}\n", answer.load_error);
            }
        }
    }
    eprintln!("{relocated} relocated ({poisoned} of them unresolved), {refused} refused");
    assert!(report.is_empty(), "{report}");
}

fn check(spec: &Spec, answer: &support::Answer, case: &str, report: &mut String) {
    let ours = support::load_of(&spec.programs[0]).insns;
    if ours != answer.loads[0].insns {
        *report += &format!("{case}:\n  ours   {ours}\n  libbpf {}\n", answer.loads[0].insns);
    }
}

/// The types of an object as they stand in it.
fn btf_of(path: &Path) -> Btf {
    let bytes = std::fs::read(path).expect("readable");
    let file = object::File::parse(&*bytes).expect("ELF");
    let section = object::Object::section_by_name(&file, ".BTF").expect(".BTF");
    let data = object::ObjectSection::data(&section).expect("data");
    Btf::parse(data).expect("BTF")
}

#[test]
fn messages_name_the_access() {
    let out = tempfile::tempdir().expect("temporary folder");
    let target_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/core/target.c");
    let target_object = out.path().join("target.o");
    if support::compile(&target_source, &target_object).is_none() {
        return;
    }
    let target = btf_of(&target_object);
    let text = |number, root, types, value| {
        let object = compile_case(out.path(), number, (root, types, value)).expect("compiles");
        let mut spec = support::parse_file(&object).expect("opens");
        match spec.relocate_core(&[&target]) {
            Ok(()) => spec.programs[0].unresolved[0].1.to_string(),
            Err(error) => error.to_string(),
        }
    };
    // As libbpf's bpf_core_format_spec words them; the ids are the compiler's.
    let missing = text(0, "struct plain", "struct plain { int pad, missing; } K;", "p->missing");
    assert!(missing.starts_with("<byte_off> ["), "{missing}");
    assert!(missing.ends_with("] struct plain.missing (0:1 @ offset 4)"), "{missing}");
    let value = text(1, "int", "enum colour { X = -2, Y = -3 };", "VALUE(enum colour, Y)");
    assert!(value.starts_with("<enumval_value> ["), "{value}");
    assert!(value.ends_with("] enum colour::Y = -3"), "{value}");
    let ambiguous = text(2, "struct twice", "struct twice { int differs; } K;", "p->differs");
    assert!(ambiguous.contains("field offset ambiguity: 64 != 32"), "{ambiguous}");
    assert!(ambiguous.contains("section 'raw_tp/x' at 0x"), "{ambiguous}");
}
