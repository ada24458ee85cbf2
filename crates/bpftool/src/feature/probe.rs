//! `feature probe`.

use std::fmt::Write;
use std::fs;

use btf::print::JsonText;
use isa::Insn;
use runtime::door::{Bpf, LogRequest, MapCreate, ProgLoad};
use uapi::{Errno, MapDef, MapType, ProgType};

use super::{map_types, prog_types};
use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::prog::number;
use crate::session::Ctx;
use crate::words::Words;

/// `feature probe [kernel | dev NAME] [full] [unprivileged] [macros [prefix PREFIX]]`.
pub(crate) fn probe(ctx: &Ctx<'_>, mut words: Words<'_>) -> Done {
    let mut macros = false;
    let mut prefix = "";
    let mut full = false;
    while !words.is_empty() {
        if words.eat("kernel") || words.eat("unprivileged") {
        } else if words.eat("dev") {
            let name = words.next().unwrap_or_default();
            return Err(Fail::new(format!("no device '{name}' takes programs here")));
        } else if words.eat("full") {
            full = true;
        } else if words.eat("macros") {
            macros = true;
        } else if words.eat("prefix") {
            if !macros {
                return Err(Fail::new("'prefix' argument can only be use after 'macros'"));
            }
            prefix = words.next().ok_or(Fail::new("prefix needs an argument"))?;
        } else {
            let got = words.peek().unwrap_or_default();
            return Err(Fail::new(format!("expected no more arguments, got: '{got}'?")));
        }
    }
    let door = ctx.door()?;
    let found = Found {
        config: config(),
        progs: prog_types().map(|kind| (kind, loads(door, kind))).collect(),
        maps: map_types().map(|kind| (kind, creates(door, kind))).collect(),
        helpers: helpers(door, full),
        misc: misc(door),
        macros: macros.then(|| prefix.to_owned()),
    };
    Ok(Answer::data(found))
}

struct Found {
    config: Vec<(&'static str, Option<String>)>,
    progs: Vec<(ProgType, bool)>,
    maps: Vec<(MapType, bool)>,
    helpers: Vec<(ProgType, Option<Vec<bool>>)>,
    misc: Vec<(&'static str, &'static str, bool)>,
    macros: Option<String>,
}

/// Settings of the kernel that programs meet.
const CONFIG: [&str; 32] = [
    "CONFIG_BPF",
    "CONFIG_BPF_SYSCALL",
    "CONFIG_HAVE_EBPF_JIT",
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_JIT_ALWAYS_ON",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_DEBUG_INFO_BTF_MODULES",
    "CONFIG_CGROUPS",
    "CONFIG_CGROUP_BPF",
    "CONFIG_CGROUP_NET_CLASSID",
    "CONFIG_SOCK_CGROUP_DATA",
    "CONFIG_BPF_EVENTS",
    "CONFIG_KPROBE_EVENTS",
    "CONFIG_UPROBE_EVENTS",
    "CONFIG_TRACING",
    "CONFIG_FTRACE_SYSCALLS",
    "CONFIG_FUNCTION_ERROR_INJECTION",
    "CONFIG_BPF_KPROBE_OVERRIDE",
    "CONFIG_NET",
    "CONFIG_XDP_SOCKETS",
    "CONFIG_LWTUNNEL_BPF",
    "CONFIG_NET_ACT_BPF",
    "CONFIG_NET_CLS_BPF",
    "CONFIG_NET_CLS_ACT",
    "CONFIG_NET_SCH_INGRESS",
    "CONFIG_XFRM",
    "CONFIG_IP_ROUTE_CLASSID",
    "CONFIG_IPV6_SEG6_BPF",
    "CONFIG_BPF_LIRC_MODE2",
    "CONFIG_BPF_STREAM_PARSER",
    "CONFIG_NETFILTER_XT_MATCH_BPF",
    "CONFIG_HZ",
];

/// The running kernel's settings, from the file that installations leave in `/boot`.
fn config() -> Vec<(&'static str, Option<String>)> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let text = fs::read_to_string(format!("/boot/config-{}", release.trim())).unwrap_or_default();
    let value = |name: &str| loader::config_value(&text, name).map(str::to_owned);
    CONFIG.iter().map(|name| (*name, value(name))).collect()
}

/// Attach type that a type of program cannot be loaded without.
fn attach_type(kind: ProgType) -> u32 {
    match kind {
        ProgType::CgroupSockAddr => 10,
        ProgType::CgroupSockopt => 21,
        ProgType::SkLookup => 36,
        ProgType::Netfilter => 45,
        _ => 0,
    }
}

fn request(kind: ProgType, insns: Vec<Insn>) -> ProgLoad {
    ProgLoad {
        prog_type: Some(kind),
        expected_attach_type: attach_type(kind),
        flags: if kind == ProgType::Syscall { SLEEPABLE } else { 0 },
        license: "GPL".into(),
        insns,
        ..ProgLoad::default()
    }
}

const SLEEPABLE: u32 = 1 << 4;
const EXIT: Insn = Insn { code: 0x95, regs: 0, off: 0, imm: 0 };

/// `r0 = imm`.
fn set(imm: i32) -> Insn {
    Insn::new(0xb7, 0, 0, 0, imm)
}

fn accepted(door: &dyn Bpf, request: &ProgLoad) -> bool {
    match door.prog_load(request) {
        Ok(loaded) => {
            // It was only a question.
            let _ = door.close(loaded.fd);
            true
        }
        Err(_) => false,
    }
}

/// Whether a program that does nothing loads. Types that need a target are asked for with one
/// that there is not: Linux then complains of the target, not of the type.
fn loads(door: &dyn Bpf, kind: ProgType) -> bool {
    match kind {
        ProgType::Tracing | ProgType::Ext | ProgType::Lsm | ProgType::StructOps => {
            let mut asked = request(kind, vec![set(0), EXIT]);
            asked.log = LogRequest { level: 1, size: 4096 };
            asked.attach_btf_id = 1;
            let answer = door.prog_load(&asked);
            answer.is_err_and(|error| error.errno != Errno::EPERM && !error.log.is_empty())
        }
        ProgType::SkLookup | ProgType::Netfilter | ProgType::CgroupSkb => {
            accepted(door, &request(kind, vec![set(1), EXIT]))
        }
        _ => accepted(door, &request(kind, vec![set(0), EXIT])),
    }
}

/// Whether a small map of a type can be made.
fn creates(door: &dyn Bpf, kind: MapType) -> bool {
    use MapType as T;
    const PAGE: u32 = 4096;
    let (key, value, entries, flags) = match kind {
        T::StackTrace => (4, 8, 1, 0),
        T::LpmTrie => (16, 8, 1, 1),
        T::CgroupStorage | T::PercpuCgroupStorage => (16, 8, 0, 0),
        T::Queue | T::Stack | T::BloomFilter => (0, 4, 1, 0),
        T::SkStorage | T::InodeStorage | T::TaskStorage | T::CgrpStorage => (4, 4, 0, 1),
        T::Ringbuf | T::UserRingbuf => (0, 0, PAGE, 0),
        T::Arena => (0, 0, 1, 1 << 10),
        T::StructOps => return loads(door, ProgType::StructOps),
        _ => (4, 4, 1, 0),
    };
    let mut def = MapDef::new(kind, key, value, entries);
    def.flags = flags;
    let mut create = MapCreate::from(def);
    let close = |fd| {
        let _ = door.close(fd);
    };
    if matches!(kind, T::ArrayOfMaps | T::HashOfMaps) {
        let inner = MapDef::new(T::Hash, 4, 4, 1);
        create.inner_map = door.map_create(&MapCreate::from(inner)).ok();
    }
    let storage = matches!(kind, T::SkStorage | T::InodeStorage | T::TaskStorage | T::CgrpStorage);
    let made = door.map_create(&create);
    create.inner_map.map(close);
    match made {
        Ok(fd) => {
            close(fd);
            true
        }
        // These want types besides; that they are asked for shows that the map is known.
        Err(errno) => storage && errno == Errno::EINVAL,
    }
}

/// What logs say of a call that a type of program cannot make.
const NO_SUCH: [&str; 3] =
    ["invalid func ", "unknown func ", "program of this type cannot use helper "];

/// Helpers that print or change the running system: asked for only in full.
const LOUD: [&str; 3] = ["bpf_trace_printk", "bpf_trace_vprintk", "bpf_probe_write_user"];

fn helpers(door: &dyn Bpf, full: bool) -> Vec<(ProgType, Option<Vec<bool>>)> {
    let of = |kind: ProgType| {
        let names = uapi::HELPERS.iter().enumerate();
        let asked = names.map(|(index, helper)| {
            let loud = LOUD.iter().any(|name| helper.name == *name);
            (full || !loud) && has_helper(door, kind, index as i32 + 1)
        });
        asked.collect()
    };
    prog_types().map(|kind| (kind, loads(door, kind).then(|| of(kind)))).collect()
}

fn has_helper(door: &dyn Bpf, kind: ProgType, id: i32) -> bool {
    let call = Insn::new(0x85, 0, 0, 0, id);
    let mut asked = request(kind, vec![call, EXIT]);
    asked.log = LogRequest { level: 1, size: 4096 };
    match door.prog_load(&asked) {
        Ok(loaded) => {
            let _ = door.close(loaded.fd);
            true
        }
        Err(error) => !error.log.is_empty() && !NO_SUCH.iter().any(|text| error.log.contains(text)),
    }
}

/// Name in JSON, words, and whether it is so.
fn misc(door: &dyn Bpf) -> Vec<(&'static str, &'static str, bool)> {
    let filter = |insns| accepted(door, &request(ProgType::SocketFilter, insns));
    let mut long = vec![set(0); 4096];
    long.push(EXIT);
    let looped = vec![set(10), Insn::new(0x17, 0, 0, 0, 1), Insn::new(0x55, 0, 0, -2, 0), EXIT];
    // r0 < 1, w0 < 1, and a swap of bytes: one instruction of each version.
    let v2 = vec![set(0), Insn::new(0xa5, 0, 0, 1, 1), set(1), EXIT];
    let v3 = vec![set(0), Insn::new(0xa6, 0, 0, 1, 1), set(1), EXIT];
    let v4 = vec![set(0), Insn::new(0x06, 0, 0, 0, 1), set(1), EXIT];
    vec![
        ("have_large_insn_limit", "Large program size limit", filter(long)),
        ("have_bounded_loops", "Bounded loop support", filter(looped)),
        ("have_v2_isa_extension", "ISA extension v2", filter(v2)),
        ("have_v3_isa_extension", "ISA extension v3", filter(v3)),
        ("have_v4_isa_extension", "ISA extension v4", filter(v4)),
    ]
}

fn available(has: bool) -> &'static str {
    if has { "available" } else { "NOT available" }
}

impl Found {
    fn text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "Scanning system configuration...")?;
        for (name, value) in &self.config {
            match value {
                Some(value) => writeln!(out, "{name} is set to {value}")?,
                None => writeln!(out, "{name} is not set")?,
            }
        }
        writeln!(out, "\nScanning system call availability...\nbpf() syscall is available\n")?;
        writeln!(out, "Scanning eBPF program types...")?;
        for (kind, has) in &self.progs {
            let name = ring3::prog_type_name(*kind);
            writeln!(out, "eBPF program_type {name} is {}", available(*has))?;
        }
        writeln!(out, "\nScanning eBPF map types...")?;
        for (kind, has) in &self.maps {
            let name = ring3::map_type_name(*kind);
            writeln!(out, "eBPF map_type {name} is {}", available(*has))?;
        }
        writeln!(out, "\nScanning eBPF helper functions...")?;
        for (kind, has) in &self.helpers {
            let name = ring3::prog_type_name(*kind);
            writeln!(out, "eBPF helpers supported for program type {name}:")?;
            match has {
                None => writeln!(out, "\tProgram type not supported")?,
                Some(has) => {
                    let named = uapi::HELPERS.iter().zip(has).filter(|pair| *pair.1);
                    named.clone().try_for_each(|(h, _)| writeln!(out, "\t- {}", h.name))?;
                    if named.count() == 0 {
                        writeln!(out, "\tCould not determine which helpers are available")?;
                    }
                }
            }
        }
        writeln!(out, "\nScanning miscellaneous eBPF features...")?;
        for (_, words, has) in &self.misc {
            writeln!(out, "{words} is {}", available(*has))?;
        }
        writeln!(out)
    }

    fn defines(&self, prefix: &str, out: &mut String) -> std::fmt::Result {
        let have = |has: bool| if has { "HAVE" } else { "NO_HAVE" };
        writeln!(out, "/*** System call availability ***/\n#define {prefix}HAVE_BPF_SYSCALL\n")?;
        writeln!(out, "/*** eBPF program types ***/")?;
        for (kind, has) in &self.progs {
            let name = ring3::prog_type_name(*kind).to_uppercase();
            writeln!(out, "#define {prefix}{}_{name}_PROG_TYPE", have(*has))?;
        }
        writeln!(out, "\n/*** eBPF map types ***/")?;
        for (kind, has) in &self.maps {
            let name = ring3::map_type_name(*kind).to_uppercase();
            writeln!(out, "#define {prefix}{}_{name}_MAP_TYPE", have(*has))?;
        }
        writeln!(out, "\n/*** eBPF helper functions ***/")?;
        writeln!(out, "#define {prefix}HAVE_PROG_TYPE_HELPER(prog_type, helper)\t\\")?;
        writeln!(out, "\t{prefix}BPF__PROG_TYPE_ ## prog_type ## __HELPER_ ## helper")?;
        for (kind, has) in &self.helpers {
            let name = ring3::prog_type_name(*kind);
            for (index, helper) in uapi::HELPERS.iter().enumerate() {
                let has = has.as_ref().is_some_and(|has| has[index]);
                let helper = &helper.name;
                let value = u8::from(has);
                writeln!(out, "#define {prefix}BPF__PROG_TYPE_{name}__HELPER_{helper} {value}")?;
            }
        }
        writeln!(out, "\n/*** eBPF misc features ***/")?;
        for (name, _, has) in &self.misc {
            let name = name.trim_start_matches("have_").to_uppercase();
            writeln!(out, "#define {prefix}{}_{name}", have(*has))?;
        }
        writeln!(out)
    }
}

impl Show for Found {
    fn plain(&self, out: &mut Vec<u8>) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match &self.macros {
            Some(prefix) => self.defines(prefix, &mut text),
            None => self.text(&mut text),
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_object();
        out.name("system_config");
        out.begin_object();
        for (name, value) in &self.config {
            out.name(name);
            match value {
                Some(value) => out.string(value),
                None => out.raw(format_args!("null")),
            }
        }
        out.end_object();
        out.name("syscall_config");
        out.begin_object();
        number(out, "have_bpf_syscall", true);
        out.end_object();
        out.name("program_types");
        out.begin_object();
        for (kind, has) in &self.progs {
            number(out, &format!("have_{}_prog_type", ring3::prog_type_name(*kind)), has);
        }
        out.end_object();
        out.name("map_types");
        out.begin_object();
        for (kind, has) in &self.maps {
            number(out, &format!("have_{}_map_type", ring3::map_type_name(*kind)), has);
        }
        out.end_object();
        out.name("helpers");
        out.begin_object();
        for (kind, has) in &self.helpers {
            out.name(&format!("{}_available_helpers", ring3::prog_type_name(*kind)));
            out.begin_array();
            let has = has.iter().flatten();
            for (helper, _) in uapi::HELPERS.iter().zip(has).filter(|pair| *pair.1) {
                out.string(&helper.name);
            }
            out.end_array();
        }
        out.end_object();
        out.name("misc");
        out.begin_object();
        self.misc.iter().for_each(|(name, _, has)| number(out, name, has));
        out.end_object();
        out.end_object();
    }
}
