//! Objects and commands, in the order in which abbreviations are tried.

use btf::print::JsonText;

use crate::answer::{Answer, Body, Done, Show};
use crate::fail::Fail;
use crate::print::Printer;
use crate::session::Ctx;
use crate::words::{Words, is_prefix};
use crate::{batch, btf_cmd, cgroup, feature, gen_cmd, iter, link, map, net, prog, struct_ops};

/// What carries a command out.
pub(crate) type Run = fn(&Ctx<'_>, Words<'_>) -> Done;

/// A command: its word, what follows it, what it is for.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) args: &'static str,
    pub(crate) about: &'static str,
    run: Run,
}

/// An object with its commands.
pub(crate) struct Noun {
    pub(crate) name: &'static str,
    /// The first one is meant when none is named.
    pub(crate) verbs: &'static [Verb],
    /// What the words in capitals stand for.
    pub(crate) terms: &'static [&'static str],
    /// Help is text even where JSON was asked for.
    text_help: bool,
}

const fn verb(name: &'static str, args: &'static str, about: &'static str, run: Run) -> Verb {
    Verb { name, args, about, run }
}

const fn noun(name: &'static str, verbs: &'static [Verb], terms: &'static [&'static str]) -> Noun {
    Noun { name, verbs, terms, text_help: false }
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
const DATA: &str = "DATA = bytes in decimal, 0x… or, after the word hex, in hexadecimal";

pub(crate) const NOUNS: &[Noun] = &[
    noun(
        "prog",
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
                "load an object, pin its first program",
                prog::load,
            ),
            verb("loadall", "OBJECT DIR …", "load an object, pin all its programs", prog::loadall),
            verb("attach", "PROG ATTACH_TYPE [MAP]", "attach it to a map of sockets", prog::attach),
            verb("detach", "PROG ATTACH_TYPE [MAP]", "undo that", prog::detach),
            verb("tracelog", "", "what programs print", prog::tracelog),
            verb(
                "run",
                "PROG data_in PATH [data_out PATH [data_size_out N]] [ctx_in PATH [ctx_out PATH [ctx_size_out N]]] [repeat N]",
                "a test run on these bytes",
                prog::run,
            ),
            verb(
                "profile",
                "PROG [duration SECONDS] METRIC…",
                "count events while it runs",
                prog::profile,
            ),
        ],
        &[
            PROG,
            MAP,
            "TYPE = the name of an ELF section without what follows the slash: xdp, classifier, …",
            "ATTACH_TYPE = sk_msg_verdict | sk_skb_verdict | sk_skb_stream_verdict | sk_skb_stream_parser | flow_dissector",
        ],
    ),
    noun(
        "map",
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
            "VALUE = DATA, or MAP or PROG in maps of those",
            "TYPE = hash | array | … (feature list_builtins map_types)",
        ],
    ),
    noun(
        "link",
        &[
            verb("show", "[LINK]", "what is attached by a link", link::show),
            verb("list", "[LINK]", "the same", link::show),
            help!("link"),
            verb("pin", "LINK PATH", "give it a name", link::pin),
            verb("detach", "LINK", "undo what it attaches", link::detach),
        ],
        &[LINK],
    ),
    noun(
        "cgroup",
        &[
            verb("show", "CGROUP [effective]", "programs of a control group", cgroup::show),
            verb("list", "CGROUP [effective]", "the same", cgroup::show),
            verb("tree", "[CGROUP] [effective]", "of all groups below", cgroup::tree),
            verb("attach", "CGROUP TYPE PROG [multi | override]", "attach one", cgroup::attach),
            verb("detach", "CGROUP TYPE PROG", "detach it", cgroup::detach),
            help!("cgroup"),
        ],
        &["TYPE = ingress | egress | … (feature list_builtins attach_types)", PROG],
    ),
    Noun {
        text_help: true,
        ..noun(
            "perf",
            &[
                verb("show", "", "programs behind perf events", net::perf),
                verb("list", "", "the same", net::perf),
                help!("perf"),
            ],
            &[],
        )
    },
    noun(
        "net",
        &[
            verb("show", "[dev NAME]", "programs of network interfaces", net::show),
            verb("list", "[dev NAME]", "the same", net::show),
            verb("attach", "TYPE PROG dev NAME [overwrite | prepend]", "attach one", net::attach),
            verb("detach", "TYPE dev NAME", "detach it", net::detach),
            verb(
                "dev",
                "[list | add NAME [--pcap FILE] [--rate N] [--loop] | del NAME]",
                "ring3's own interfaces, fed from captures",
                net::dev,
            ),
            help!("net"),
        ],
        &["TYPE = xdp | xdpgeneric | xdpdrv | xdpoffload | tcx_ingress | tcx_egress", PROG],
    ),
    noun(
        "feature",
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
    ),
    noun(
        "btf",
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
    ),
    noun(
        "gen",
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
    ),
    noun(
        "struct_ops",
        &[
            verb("show", "[id N | name NAME]", "what is registered", struct_ops::show),
            verb("list", "[id N | name NAME]", "the same", struct_ops::show),
            verb("register", "OBJECT [DIR]", "register what an object holds", struct_ops::register),
            verb("unregister", "id N | name NAME", "undo that", struct_ops::unregister),
            verb("dump", "[id N | name NAME]", "with all its members", struct_ops::dump),
            help!("struct_ops"),
        ],
        &[],
    ),
    Noun {
        text_help: true,
        ..noun(
            "iter",
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
        )
    },
    noun(
        "token",
        &[
            verb("show", "", "tokens of mounted BPF file systems", struct_ops::token),
            verb("list", "", "the same", struct_ops::token),
            help!("token"),
        ],
        &[],
    ),
];

/// Objects that are none, as far as abbreviations go.
const OTHERS: [&str; 4] = ["help", "batch", "version", "elf"];

/// Whether `word` is an object of this command line, or abbreviates one.
pub fn is_object(word: &str) -> bool {
    NOUNS.iter().map(|noun| noun.name).chain(OTHERS).any(|name| is_prefix(word, name))
}

/// Whether `word` is an object in full.
pub fn is_whole_object(word: &str) -> bool {
    NOUNS.iter().any(|noun| noun.name == word) || word == "batch" || word == "elf"
}

/// Finds the command that `args` name and carries it out; what it returned.
pub(crate) fn select(ctx: &Ctx<'_>, args: &[String], printer: &mut Printer) -> i32 {
    let mut words = Words::new(args);
    let help = || Ok(Answer { body: Body::Help(None), fail: None });
    if words.is_empty() || words.eat("help") {
        return printer.show(help());
    }
    if words.eat("batch") {
        return batch::run(ctx, words, printer);
    }
    if let Some(noun) = NOUNS.iter().find(|noun| words.eat(noun.name)) {
        return printer.show(run(ctx, noun, words));
    }
    if words.eat("version") {
        return printer.show(version(ctx, words));
    }
    if words.eat("elf") {
        return printer.show(crate::elf::show(ctx, words));
    }
    let fail = Fail { usage: Some(None), null: true, ..Fail::silent(-1) };
    printer.show(Err(fail))
}

fn run(ctx: &Ctx<'_>, noun: &Noun, mut words: Words<'_>) -> Done {
    if words.is_empty() {
        return (noun.verbs[0].run)(ctx, words);
    }
    match noun.verbs.iter().find(|verb| words.eat(verb.name)) {
        Some(verb) => (verb.run)(ctx, words),
        None => {
            let fail = Fail::silent(-1);
            Err(Fail { usage: Some(Some(noun.name)), null: !noun.text_help, ..fail })
        }
    }
}

/// The help of an object as a failure.
pub(crate) fn wrong_use(noun: &'static str) -> Fail {
    Fail { usage: Some(Some(noun)), null: true, ..Fail::silent(-1) }
}

/// `version`.
pub(crate) fn version(ctx: &Ctx<'_>, _: Words<'_>) -> Done {
    Ok(Answer::data(Version { name: ctx.options.name.clone() }))
}

/// The version that is followed, and what this command was built with.
struct Version {
    name: String,
}

/// The bpftool whose output is followed.
const BPFTOOL: &str = "7.8.0";
const LIBBPF: &str = "1.8";
/// Libraries of bpftool's that matter to what it can do, and whether the same can be done here.
const FEATURES: [(&str, bool); 5] = [
    ("libbfd", false),
    ("llvm", false),
    ("crypto", false),
    ("skeletons", true),
    ("bootstrap", false),
];

impl Show for Version {
    fn plain(&self, out: &mut Vec<u8>) {
        let features: Vec<_> = FEATURES.iter().filter(|f| f.1).map(|f| f.0).collect();
        let text = format!(
            "{} v{BPFTOOL}\nusing libbpf v{LIBBPF}\nfeatures: {}\n",
            self.name,
            features.join(", ")
        );
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        out.name("version");
        out.string(BPFTOOL);
        out.name("libbpf_version");
        out.string(LIBBPF);
        out.name("features");
        out.begin_object();
        for (name, has) in FEATURES {
            out.name(name);
            out.raw(format_args!("{has}"));
        }
        out.end_object();
        out.end_object();
    }
}

/// What can be typed, of an object or of all.
pub(crate) fn usage(name: &str, noun: Option<&str>) -> String {
    let Some(noun) = noun.and_then(|noun| NOUNS.iter().find(|n| n.name == noun)) else {
        let nouns: Vec<_> = NOUNS.iter().map(|noun| noun.name).collect();
        return format!(
            "Usage: {name} [OPTIONS] OBJECT COMMAND …\n       {name} OBJECT help\n       \
             {name} batch file PATH\n       {name} elf FILE\n       {name} version\n\n\
             OBJECT = {}\n\n{OPTIONS}",
            nouns.join(" | ")
        );
    };
    let mut out = String::new();
    for (at, verb) in noun.verbs.iter().enumerate() {
        let lead = if at == 0 { "Usage:" } else { "      " };
        let line = format!("{lead} {name} {} {} {}", noun.name, verb.name, verb.args);
        let line = line.trim_end();
        // Descriptions stand in one column where the line leaves room.
        let gap = if line.chars().count() < ABOUT_COLUMN { "" } else { "\n" };
        let width = if gap.is_empty() { ABOUT_COLUMN - line.chars().count() } else { ABOUT_COLUMN };
        out.push_str(&format!("{line}{gap}{:width$}{}\n", "", verb.about));
    }
    out.push('\n');
    for term in noun.terms {
        out.push_str(term);
        out.push('\n');
    }
    out.push_str(OPTIONS);
    out
}

/// Where descriptions begin.
const ABOUT_COLUMN: usize = 60;

const OPTIONS: &str =
    "OPTIONS = -j (JSON) | -p (indented JSON) | -f (names of pins) | -d (more messages) |
          -V (version) | -B PATH (base BTF) | --target linux, memory or daemon
";
