//! `helpers.rs`: contracts of the helpers, and which programs may call them.

use std::fmt::Write as _;

use serde_json::Value;

use super::progs::Variants;
use super::{camel, head, list, text};

/// Programs whose contract of a helper is the numbered variant of helpers.json, where the
/// kernel's function name does not tell (its sources do).
const VARIANT_PROGS: &[(u64, usize, &[&str])] = &[
    (46, 1, &["TRACING", "SK_REUSEPORT", "SYSCALL"]),
    (49, 1, &["CGROUP_SOCKOPT", "STRUCT_OPS", "LSM"]),
    (57, 1, &["CGROUP_SOCKOPT", "STRUCT_OPS", "LSM"]),
    (
        107,
        1,
        &[
            "SCHED_CLS",
            "SCHED_ACT",
            "CGROUP_SKB",
            "SOCK_OPS",
            "SK_MSG",
            "CGROUP_SOCK_ADDR",
            "CGROUP_SOCKOPT",
            "STRUCT_OPS",
            "LSM",
        ],
    ),
    (107, 2, &["TRACING", "SYSCALL"]),
    (108, 1, &["TRACING", "SYSCALL"]),
    (188, 1, &["TRACING", "SYSCALL"]),
];

/// Contracts that ask for a GPL licence in some programs only: those that do not.
const FREE_PROGS: &[(u64, &[&str])] = &[
    (27, &["PERF_EVENT"]),
    (
        173,
        &[
            "KPROBE/TRACE_KPROBE_MULTI",
            "KPROBE/TRACE_KPROBE_SESSION",
            "KPROBE/TRACE_UPROBE_MULTI",
            "KPROBE/TRACE_UPROBE_SESSION",
        ],
    ),
];

/// Programs in which a helper keeps registers (inlined by Linux on x86-64).
const FASTCALL_PROGS: &[(u64, &[&str])] = &[(
    8,
    &[
        "SCHED_CLS",
        "SCHED_ACT",
        "XDP",
        "LWT_IN",
        "LWT_OUT",
        "LWT_XMIT",
        "LWT_SEG6LOCAL",
        "KPROBE",
        "TRACEPOINT",
        "PERF_EVENT",
        "RAW_TRACEPOINT",
        "RAW_TRACEPOINT_WRITABLE",
        "TRACING",
        "LSM",
        "SYSCALL",
    ],
)];

/// Helpers of tracing programs that no load could show on the machine of the facts.
const UNPROBED: &[(u64, &[&str])] = &[
    (147, &["TRACING/FENTRY", "TRACING/FEXIT", "TRACING/MODIFY_RETURN"]),
    (183, &["TRACING/FENTRY", "TRACING/FEXIT", "TRACING/MODIFY_RETURN"]),
    (184, &["TRACING/FEXIT", "TRACING/MODIFY_RETURN"]),
    (185, &["TRACING/FENTRY", "TRACING/FEXIT", "TRACING/MODIFY_RETURN"]),
    (173, &["TRACING/FENTRY", "TRACING/FEXIT", "TRACING/MODIFY_RETURN"]),
    (174, &["TRACING/FENTRY", "TRACING/FEXIT", "TRACING/MODIFY_RETURN"]),
    (148, &["TRACING/FENTRY(sleepable)", "TRACING/FEXIT(sleepable)"]),
    (191, &["TRACING/FENTRY(sleepable)", "TRACING/FEXIT(sleepable)"]),
    (148, &["LSM/LSM_MAC(sleepable)"]),
];

pub(super) fn table(facts: &Value, variants: &Variants) -> Result<String, String> {
    let mut out = head("Contracts of helpers.", "helpers");
    out.push_str("use std::borrow::Cow;\n\nuse crate::MapType as M;\nuse crate::{ArgKind, ArgType, DynptrArg, HelperFacts, HelperProto, RetKind, RetType};\n\n");
    let mut protos = String::from(
        "/// Every helper of Linux, by number: the first is number 1.\npub static HELPERS: &[HelperProto] = &[\n",
    );
    let mut infos = String::from(
        "/// What is known of each helper besides its contract, in the same order.\npub static HELPER_FACTS: &[HelperFacts] = &[\n",
    );
    let mut lists = Lists::default();
    for (n, row) in list(facts, "helpers").iter().enumerate() {
        if row["id"].as_u64() != Some(n as u64 + 1) {
            return Err(format!("helpers.json: row {n} is out of order"));
        }
        let first = &list(row, "variants").first().unwrap_or(row);
        let _ = writeln!(protos, "    {},", proto(row, first, &mut lists, true)?);
        infos.push_str(&info(row, variants, &mut lists)?);
    }
    out.push_str(&lists.text);
    let _ = write!(out, "\n{protos}];\n\n{infos}];\n");
    Ok(out)
}

/// Argument lists already written, each under one name.
#[derive(Default)]
struct Lists {
    text: String,
    names: Vec<(String, String)>,
}

impl Lists {
    fn name(&mut self, args: &str) -> String {
        if let Some((_, name)) = self.names.iter().find(|(a, _)| a == args) {
            return name.clone();
        }
        let name = format!("A{}", self.names.len());
        let _ = writeln!(self.text, "const {name}: &[ArgType] = &[{args}];");
        self.names.push((args.to_string(), name.clone()));
        name
    }
}

fn proto(row: &Value, v: &Value, lists: &mut Lists, gpl: bool) -> Result<String, String> {
    let args: Vec<String> =
        list(v, "args").iter().filter_map(Value::as_str).map(arg).collect::<Result<_, _>>()?;
    let args = lists.name(&args.join(", "));
    Ok(format!(
        "HelperProto {{ id: {}, name: Cow::Borrowed(\"{}\"), gpl_only: {}, might_sleep: {}, pkt_access: {}, ret: {}, args: Cow::Borrowed({args}) }}",
        row["id"],
        text(row, "name")?,
        gpl && row["gpl_only"] == true,
        row["might_sleep"] == true,
        v["pkt_ok"] == true,
        ret(text(v, "ret")?)?,
    ))
}

fn ret(words: &str) -> Result<String, String> {
    let mut parts = words.split('|');
    let kind = match parts.next().unwrap_or("") {
        "int" => "Integer".into(),
        "void" => "Void".into(),
        "map_value" => "MapValue".into(),
        "socket" => "Socket".into(),
        "tcp_sock" => "TcpSock".into(),
        "sock_common" => "SockCommon".into(),
        "mem" => "Mem".into(),
        "mem_or_btf_id" => "MemOrBtfId".into(),
        "btf_id" => "BtfId(\"\")".into(),
        other => match other.strip_prefix("btf_id:") {
            Some(name) => format!("BtfId(\"{name}\")"),
            None => return Err(format!("helpers.json: return kind {words}")),
        },
    };
    let mut out = format!("RetType::new(RetKind::{kind})");
    for flag in parts {
        out.push_str(match flag {
            "null" => ".or_null()",
            "ro" => ".rdonly()",
            "ringbuf" => ".of_ringbuf()",
            "trusted" => ".trust()",
            _ => return Err(format!("helpers.json: return flag {words}")),
        });
    }
    Ok(out)
}

fn arg(words: &str) -> Result<String, String> {
    let mut parts = words.split('|');
    let word = parts.next().unwrap_or("");
    let dynptr = match () {
        () if words.contains("dynptr_local") => "Local",
        () if words.contains("dynptr_ringbuf") => "Ringbuf",
        () => "Any",
    };
    let kind = match word {
        "scalar" => "Anything".into(),
        "map_ptr" => "ConstMapPtr".into(),
        "map_key" | "map_value" | "mem" | "ctx" | "spin_lock" | "sock_common" | "func"
        | "const_str" | "timer" | "socket" | "ringbuf_mem" | "percpu_btf_id"
        | "btf_sock_common" | "kptr_xchg_dest" => {
            camel(&word.to_uppercase()).replace("BtfSockCommon", "BtfIdSockCommon")
        }
        "size_nz" => "ConstSize".into(),
        "size" => "ConstSizeOrZero".into(),
        "const_alloc_size" => "ConstAllocSizeOrZero".into(),
        "stack_ptr" => "Stack".into(),
        "dynptr" => format!("Dynptr(DynptrArg::{dynptr})"),
        "btf_id" => "BtfId(\"\")".into(),
        other => match other.strip_prefix("btf_id:") {
            Some(name) => format!("BtfId(\"{name}\")"),
            None => return Err(format!("helpers.json: argument kind {words}")),
        },
    };
    let mut out = format!("ArgType::new(ArgKind::{kind})");
    for flag in parts {
        let sized;
        out.push_str(match flag {
            "null" => ".or_null()",
            "ro" | "dynptr_local" | "dynptr_ringbuf" => "",
            "rw" => ".write()",
            "uninit" => ".uninit()",
            "aligned" => ".aligned()",
            "release" => ".release()",
            other => match other.strip_prefix("size:") {
                Some(n) => {
                    sized = format!(".sized({n})");
                    &sized
                }
                None => return Err(format!("helpers.json: argument flag {words}")),
            },
        });
    }
    Ok(out)
}

fn info(row: &Value, variants: &Variants, lists: &mut Lists) -> Result<String, String> {
    let id = row["id"].as_u64().unwrap_or(0);
    let names =
        |field: &str| -> Vec<&str> { list(row, field).iter().filter_map(Value::as_str).collect() };
    // Of helpers that sleep, the gate is the call: the type has them.
    let mut avail = variants.bits(&names("avail"))?;
    avail |= variants.bits(&names("only_in_sleepable"))?;
    for list in row["refused_by_type"].as_object().into_iter().flat_map(|rules| rules.values()) {
        let labels: Vec<&str> =
            list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        avail |= variants.bits(&labels)?;
    }
    let probed = avail & variants.probed();
    let mut unprobed = avail & !variants.probed();
    unprobed |= variants.bits(&names("docs_avail_unprobed"))?;
    if names("avail").contains(&"TRACING/RAW_TP") {
        unprobed |= variants.bits(&["TRACING"])?;
    }
    for (helper, labels) in UNPROBED {
        if *helper == id {
            unprobed |= variants.bits(labels)?;
        }
    }
    unprobed &= !variants.probed();
    let mut others = Vec::new();
    for (n, v) in list(row, "variants").iter().enumerate().skip(1) {
        let bits = variant_bits(row, id, n, v, variants)?;
        if bits != 0 {
            others.push(format!("({bits:#x}, {})", proto(row, v, lists, true)?));
        }
    }
    for (helper, labels) in FREE_PROGS {
        if *helper == id {
            let bits = variants.bits(labels)?;
            others.push(format!("({bits:#x}, {})", proto(row, row, lists, false)?));
        }
    }
    let mut perfmon = if row["needs_cap"] == "CAP_PERFMON" { u128::MAX } else { 0 };
    if perfmon != 0 && row["needs_cap_in"].is_array() {
        perfmon = variants.bits(&names("needs_cap_in"))?;
    }
    let mut fastcall = 0;
    for (helper, labels) in FASTCALL_PROGS {
        if *helper == id {
            fastcall = variants.bits(labels)?;
        }
    }
    let refused = variants.bits(&names("refused_by_extra_check"))?;
    let maps: Vec<String> = names("maps").iter().map(|m| format!("M::{}", camel(m))).collect();
    Ok(format!(
        "    HelperFacts {{\n        since: \"{}\",\n        avail: {:#x},\n        unprobed: {unprobed:#x},\n        refused: {refused:#x},\n        others: &[{}],\n        needs_perfmon: {perfmon:#x},\n        fastcall: {fastcall:#x},\n        maps: &[{}],\n    }},\n",
        text(row, "since")?,
        probed | unprobed,
        others.join(", "),
        maps.join(", "),
    ))
}

/// Programs that a further contract of a helper holds for.
fn variant_bits(
    row: &Value,
    id: u64,
    n: usize,
    v: &Value,
    variants: &Variants,
) -> Result<u128, String> {
    let mut bits = 0;
    for (helper, variant, labels) in VARIANT_PROGS {
        if (*helper, *variant) == (id, n) {
            bits |= variants.bits(labels)?;
        }
    }
    if bits == 0 {
        for name in list(v, "impl").iter().filter_map(Value::as_str) {
            let progs: Vec<&str> =
                list(&row["impl_by_prog"], name).iter().filter_map(Value::as_str).collect();
            bits |= variants.bits(&progs)?;
        }
    }
    Ok(bits)
}
