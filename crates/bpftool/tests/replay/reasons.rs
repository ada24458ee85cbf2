//! Why answers differ, by the beginning of the case's name; the first row that fits counts.

pub(crate) const HEAD: &str = "\
# The command line and bpftool's

Made by `BLESS=1 cargo test -p ring3-bpftool --test replay`, which runs every recorded command of
bpftool 7.8 (Linux 6.18, `facts/bpftool-golden`) in the recorded order on an empty target in its own
process, and fails when this table tells something else. Ids, times and addresses are left out of the
comparison, and so is the wording of help: ours comes from one table and says what each command does.

";

pub(crate) const TAIL: &str = "";

const ATTACH: &str = "there are no perf events behind this target";
const XLATED: &str =
    "context fields and inlined helpers are those of this runtime, not of Linux's own structures";
const GONE: &str = "the object was not loaded";
const JITED: &str = "machine code is that of this compiler, not of Linux's";
const ORDER: &str = "the order of a hash table, which its seed decides";
const LIBBPF: &str = "the messages of libbpf are its own, ours are shorter";
const MACHINE: &str = "the recording machine refuses such programs";
const VERSION: &str = "the libraries in the list of features are not used";
const DISSECTOR: &str = "flow dissectors are objects, where bpftool writes text that is no JSON";
const FLOAT: &str = "floats are printed, where bpftool writes text that is no JSON";

pub(crate) const REASONS: &[(&str, &str)] = &[
    ("version", VERSION),
    ("batch.stdin", VERSION),
    ("batch.file", "bpftool 7.8 fails to close standard input at the end of a batch"),
    ("err.show_pinned_notbpf", "a target in memory has no folders that are no BPF file system"),
    ("load.fentry", MACHINE),
    ("load.lsm", MACHINE),
    ("load.bad_oob.d", LIBBPF),
    ("load.type_bad", LIBBPF),
    ("load.dev_bad", LIBBPF),
    ("load.linked", LIBBPF),
    ("gen.object", LIBBPF),
    ("btf.dump.vmlinux.head", LIBBPF),
    ("load.map_bad", "there is a map with the id 1 here"),
    ("prog.jited", JITED),
    ("prog.xlated", XLATED),
    ("prog.show", XLATED),
    ("prog.list", XLATED),
    ("map.getnext", ORDER),
    ("map.dump.after_update", ORDER),
    ("map.dump.types", FLOAT),
    ("map.lookup.types", FLOAT),
    ("map.list", GONE),
    (
        "btf.list",
        "the kernel's own types are no object of this target; sizes of types are those of the object's own",
    ),
    ("net.list.links.j", DISSECTOR),
    ("net.list.links.p", DISSECTOR),
    ("net.list.flowdis.j", DISSECTOR),
    ("net.list.flowdis.p", DISSECTOR),
    ("perf.", ATTACH),
    ("feature.list", "bpftool lists types that came after Linux 6.18"),
    ("feature.dev", "no device takes programs here"),
    ("feature.", "what this target offers; settings are read from /boot only"),
    ("gen.skeleton", "a header in our own words, whose text the recording leaves out"),
    ("gen.subskeleton", "a header in our own words, whose text the recording leaves out"),
];
