//! Objects and commands, in the order in which abbreviations are tried.

use crate::answer::{Answer, Body, Done};
use crate::session::Ctx;
use crate::words::Words;
use crate::{btf_cmd, cgroup, feature, gen_cmd, iter, link, map, net, prog, struct_ops};

/// What carries a command out.
pub(crate) type Run = fn(&Ctx<'_>, Words<'_>) -> Done;

/// A command: its word, what follows it, what it is for.
pub struct Verb {
    /// Its word.
    pub name: &'static str,
    /// What follows: words as they are, in capitals what stands for others.
    pub args: &'static str,
    /// What it does.
    pub about: &'static str,
    pub(crate) run: Run,
}

/// An object with its commands.
pub struct Noun {
    /// Its word.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The first one is meant when none is named.
    pub verbs: &'static [Verb],
    /// What the words in capitals stand for.
    pub terms: &'static [&'static str],
    /// Command lines without the program's name, and what they do.
    pub examples: &'static [(&'static str, &'static str)],
    /// Help is text even where JSON was asked for.
    pub(crate) text_help: bool,
}

const fn verb(name: &'static str, args: &'static str, about: &'static str, run: Run) -> Verb {
    Verb { name, args, about, run }
}

const fn noun(
    name: &'static str,
    about: &'static str,
    verbs: &'static [Verb],
    terms: &'static [&'static str],
    examples: &'static [(&'static str, &'static str)],
) -> Noun {
    Noun { name, about, verbs, terms, examples, text_help: false }
}

macro_rules! help {
    ($noun:literal) => {
        verb("help", "", "this text", |_, _| {
            Ok(Answer { body: Body::Help(Some($noun)), fail: None })
        })
    };
}

const PROG: &str = "PROG = id N | tag TAG | name NAME | pinned PATH";
const MAP: &str = "MAP = id N | name NAME | pinned PATH";
const LINK: &str = "LINK = id N | pinned PATH";
const DATA: &str = "DATA = BYTE… (decimal, or 0x…) | hex BYTE…";

/// All objects of bpftool's command line.
pub const NOUNS: &[Noun] = &[
    noun(
        "prog",
        "Programs: load, look at, run",
        &[
            verb("show", "[PROG]", "what is loaded", prog::show),
            verb("list", "[PROG]", "the same", prog::show),
            help!("prog"),
            verb(
                "dump",
                "{ xlated | jited } PROG [file PATH | opcodes linum visual]",
                "the translated instructions, or machine code",
                prog::dump,
            ),
            verb("pin", "PROG PATH", "give it a name", prog::pin),
            verb(
                "load",
                "OBJECT PATH [type TYPE] [map idx N MAP | map name NAME MAP] [pinmaps DIR] [autoattach] [kernel_btf PATH]",
                "load an object or C source, pin its first program",
                prog::load,
            ),
            verb(
                "loadall",
                "OBJECT DIR …",
                "load an object or C source, pin all its programs",
                prog::loadall,
            ),
            verb("attach", "PROG ATTACH_TYPE [MAP]", "attach it to a map of sockets", prog::attach),
            verb("detach", "PROG ATTACH_TYPE [MAP]", "undo that", prog::detach),
            verb(
                "tracelog",
                "[{stdout | stderr} PROG]",
                "what programs print, or one program into its own stream",
                prog::tracelog,
            ),
            verb(
                "run",
                "PROG data_in PATH [data_out PATH [data_size_out N]] [ctx_in PATH [ctx_out PATH [ctx_size_out N]]] [ctx_json PATH] [repeat N]",
                "a test run on these bytes, or on a context by names (ctx_json), which Linux cannot",
                prog::run,
            ),
            verb(
                "profile",
                "PROG [duration SECONDS] METRIC…",
                "count its runs and what they take, until interrupted",
                prog::profile,
            ),
        ],
        &[
            PROG,
            MAP,
            "TYPE = xdp | classifier | socket | kprobe | … (an ELF section without what follows the slash)",
            "METRIC = instructions | nanoseconds",
            "ATTACH_TYPE = sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict | sk_skb_stream_parser | flow_dissector",
        ],
        &[
            ("prog load hello.bpf.o /sys/fs/bpf/hello", "load and pin"),
            ("prog dump xlated name hello linum", "its instructions with source lines"),
            ("prog run name hello data_in packet.bin repeat 1000", "a test run"),
        ],
    ),
    noun(
        "map",
        "Maps: make, read, change",
        &[
            verb("show", "[MAP]", "what there is", map::show),
            verb("list", "[MAP]", "the same", map::show),
            help!("map"),
            verb("dump", "MAP", "all elements", map::dump),
            verb(
                "update",
                "MAP [key DATA] [value VALUE] [any | exist | noexist]",
                "set an element",
                map::update,
            ),
            verb("lookup", "MAP [key DATA]", "one element", map::lookup),
            verb("getnext", "MAP [key DATA]", "the key after this one", map::getnext),
            verb("delete", "MAP key DATA", "remove an element", map::delete),
            verb("pin", "MAP PATH", "give it a name", map::pin),
            verb("event_pipe", "MAP [cpu N index N]", "events as they come", map::event_pipe),
            verb("peek", "MAP", "the next element of a queue or stack", map::lookup),
            verb("push", "MAP value VALUE", "put one on a stack", map::update),
            verb("enqueue", "MAP value VALUE", "put one into a queue", map::update),
            verb("pop", "MAP", "take one off a stack", map::take),
            verb("dequeue", "MAP", "take one out of a queue", map::take),
            verb("freeze", "MAP", "no more writing from user space", map::freeze),
            verb(
                "create",
                "PATH type TYPE key BYTES value BYTES entries N name NAME [flags N] [inner_map MAP] [offload_dev NAME]",
                "make one and pin it",
                map::create,
            ),
        ],
        &[
            MAP,
            PROG,
            DATA,
            "VALUE = DATA | MAP | PROG",
            "TYPE = hash | array | percpu_array | ringbuf | … (`feature list_builtins map_types`)",
        ],
        &[
            (
                "map create /sys/fs/bpf/counts type hash key 4 value 8 entries 100 name counts",
                "make and pin",
            ),
            ("map update name counts key 1 0 0 0 value 7 0 0 0 0 0 0 0", "set an element"),
            ("-p map dump name counts", "all elements as JSON"),
        ],
    ),
    noun(
        "link",
        "Links: what is attached and stays so",
        &[
            verb("show", "[LINK]", "what is attached by a link", link::show),
            verb("list", "[LINK]", "the same", link::show),
            help!("link"),
            verb("pin", "LINK PATH", "give it a name", link::pin),
            verb("detach", "LINK", "undo what it attaches", link::detach),
        ],
        &[LINK],
        &[("link show", "all of them"), ("link detach id 3", "undo one")],
    ),
    noun(
        "cgroup",
        "Programs of control groups",
        &[
            verb("show", "CGROUP [effective]", "programs of a control group", cgroup::show),
            verb("list", "CGROUP [effective]", "the same", cgroup::show),
            verb("tree", "[CGROUP] [effective]", "of all groups below", cgroup::tree),
            verb("attach", "CGROUP TYPE PROG [multi | override]", "attach one", cgroup::attach),
            verb("detach", "CGROUP TYPE PROG", "detach it", cgroup::detach),
            help!("cgroup"),
        ],
        &["TYPE = ingress | egress | … (`feature list_builtins attach_types`)", PROG],
        &[
            ("cgroup attach /sys/fs/cgroup/mine egress name count_egress multi", "attach one"),
            ("cgroup tree", "programs of all groups"),
        ],
    ),
    Noun {
        text_help: true,
        ..noun(
            "perf",
            "Programs behind perf events",
            &[
                verb("show", "", "programs behind perf events", net::perf),
                verb("list", "", "the same", net::perf),
                help!("perf"),
            ],
            &[],
            &[("perf show", "all of them")],
        )
    },
    noun(
        "net",
        "Programs of network interfaces, and interfaces of ring3's own",
        &[
            verb("show", "[dev NAME]", "programs of network interfaces", net::show),
            verb("list", "[dev NAME]", "the same", net::show),
            verb("attach", "TYPE PROG dev NAME [overwrite | prepend]", "attach one", net::attach),
            verb("detach", "TYPE dev NAME", "detach it", net::detach),
            verb(
                "dev",
                "[list | add NAME [--pcap FILE] [--rate N] [--loop] [--out FILE] [--peer NAME] [--real IFACE] | del NAME]",
                "interfaces of ring3's own, fed from captures",
                net::dev,
            ),
            verb(
                "up",
                "NAME [HOST...] [--write FILE [--at POINTS]]",
                "a network of hosts in namespaces of yours: host and peer, or those named",
                net::up,
            ),
            verb("down", "NAME", "end it, and all that runs in it", net::down),
            verb("exec", "HOST -- COMMAND", "run a command in a host of it", net::exec),
            help!("net"),
        ],
        &["TYPE = xdp | xdpgeneric | xdpdrv | xdpoffload | tcx_ingress | tcx_egress", PROG],
        &[
            (
                "net dev add eth9 --pcap web.pcap --rate 1000 --loop",
                "an interface fed from a capture",
            ),
            ("net attach xdp name hello dev eth9", "attach a program to it"),
            ("net list", "what is attached"),
            ("net up lab", "two hosts, host and peer, and what is between them"),
            ("net attach xdp name hello dev host/eth0", "a program to the interface of one"),
            ("net exec host -- ping -c 1 peer", "a command in it"),
        ],
    ),
    noun(
        "feature",
        "What can be loaded here",
        &[
            verb(
                "probe",
                "[kernel | dev NAME] [full] [unprivileged] [macros [prefix PREFIX]]",
                "what can be loaded",
                feature::probe,
            ),
            verb("list_builtins", "GROUP", "names that are known", feature::list_builtins),
            help!("feature"),
        ],
        &["GROUP = prog_types | map_types | attach_types | link_types | helpers"],
        &[
            ("feature probe", "program types, maps, helpers"),
            ("feature list_builtins helpers", "all names that are known"),
        ],
    ),
    noun(
        "btf",
        "Type information",
        &[
            verb("show", "[id N]", "type information that is loaded", btf_cmd::show),
            verb("list", "[id N]", "the same", btf_cmd::show),
            help!("btf"),
            verb(
                "dump",
                "SOURCE [format raw | format c [unsorted]] [root_id N]",
                "types as text",
                btf_cmd::dump,
            ),
        ],
        &["SOURCE = id N | prog PROG | map MAP [key | value | kv | all] | file PATH", PROG, MAP],
        &[
            ("btf dump map name counts", "the types of a map's elements"),
            ("btf dump file hello.bpf.o format c", "the types of an object as C"),
        ],
    ),
    noun(
        "gen",
        "Files made of objects",
        &[
            verb("object", "OUTPUT INPUT…", "link objects into one", gen_cmd::object),
            verb("skeleton", "OBJECT [name NAME]", "a C header that loads it", gen_cmd::skeleton),
            verb(
                "subskeleton",
                "OBJECT [name NAME]",
                "a C header for a library of BPF code",
                gen_cmd::subskeleton,
            ),
            verb(
                "min_core_btf",
                "BTF OUTPUT OBJECT…",
                "only the types that objects ask for",
                gen_cmd::min_core_btf,
            ),
            help!("gen"),
        ],
        &[],
        &[
            ("gen skeleton hello.bpf.o >hello.skel.h", "a C header that loads it"),
            ("gen object all.bpf.o one.bpf.o two.bpf.o", "link two objects"),
        ],
    ),
    noun(
        "struct_ops",
        "Structures of functions that programs implement",
        &[
            verb("show", "[id N | name NAME]", "what is registered", struct_ops::show),
            verb("list", "[id N | name NAME]", "the same", struct_ops::show),
            verb("register", "OBJECT [DIR]", "register what an object holds", struct_ops::register),
            verb("unregister", "id N | name NAME", "undo that", struct_ops::unregister),
            verb("dump", "[id N | name NAME]", "with all its members", struct_ops::dump),
            help!("struct_ops"),
        ],
        &[],
        &[("struct_ops show", "what is registered")],
    ),
    Noun {
        text_help: true,
        ..noun(
            "iter",
            "Files that an iterator fills",
            &[
                help!("iter"),
                verb(
                    "pin",
                    "OBJECT PATH [map MAP]",
                    "a file that the iterator fills when read",
                    iter::pin,
                ),
            ],
            &[MAP],
            &[("iter pin maps.bpf.o /sys/fs/bpf/maps", "pin one; `ring3 fs cat` reads it")],
        )
    },
    noun(
        "token",
        "BPF tokens",
        &[
            verb("show", "", "tokens of mounted BPF file systems", struct_ops::token),
            verb("list", "", "the same", struct_ops::token),
            help!("token"),
        ],
        &[],
        &[("token list", "tokens of mounted BPF file systems")],
    ),
];
