//! `feature …`: what can be loaded, found out by loading it.

mod probe;

pub(crate) use probe::probe;

use btf::print::JsonText;
use uapi::{MapType, ProgType};

use crate::answer::{Answer, Done, Show};
use crate::fail::Fail;
use crate::link;
use crate::session::Ctx;
use crate::words::Words;

/// `enum bpf_attach_type`, by number, as bpftool writes it.
const ATTACH_TYPES: [&str; 62] = [
    "cgroup_inet_ingress",
    "cgroup_inet_egress",
    "cgroup_inet_sock_create",
    "cgroup_sock_ops",
    "sk_skb_stream_parser",
    "sk_skb_stream_verdict",
    "cgroup_device",
    "sk_msg_verdict",
    "cgroup_inet4_bind",
    "cgroup_inet6_bind",
    "cgroup_inet4_connect",
    "cgroup_inet6_connect",
    "cgroup_inet4_post_bind",
    "cgroup_inet6_post_bind",
    "cgroup_udp4_sendmsg",
    "cgroup_udp6_sendmsg",
    "lirc_mode2",
    "flow_dissector",
    "cgroup_sysctl",
    "cgroup_udp4_recvmsg",
    "cgroup_udp6_recvmsg",
    "cgroup_getsockopt",
    "cgroup_setsockopt",
    "trace_raw_tp",
    "trace_fentry",
    "trace_fexit",
    "modify_return",
    "lsm_mac",
    "trace_iter",
    "cgroup_inet4_getpeername",
    "cgroup_inet6_getpeername",
    "cgroup_inet4_getsockname",
    "cgroup_inet6_getsockname",
    "xdp_devmap",
    "cgroup_inet_sock_release",
    "xdp_cpumap",
    "sk_lookup",
    "xdp",
    "sk_skb_verdict",
    "sk_reuseport_select",
    "sk_reuseport_select_or_migrate",
    "perf_event",
    "trace_kprobe_multi",
    "lsm_cgroup",
    "struct_ops",
    "netfilter",
    "tcx_ingress",
    "tcx_egress",
    "trace_uprobe_multi",
    "cgroup_unix_connect",
    "cgroup_unix_sendmsg",
    "cgroup_unix_recvmsg",
    "cgroup_unix_getpeername",
    "cgroup_unix_getsockname",
    "netkit_primary",
    "netkit_peer",
    "trace_kprobe_session",
    "trace_uprobe_session",
    "trace_fsession",
    "trace_fentry_multi",
    "trace_fexit_multi",
    "trace_fsession_multi",
];

/// What an attach type is called.
pub(crate) fn attach_type_name(number: u32) -> Option<&'static str> {
    ATTACH_TYPES.get(number as usize).copied()
}

/// Program types by number, up to the last that is known.
pub(crate) fn prog_types() -> impl Iterator<Item = ProgType> {
    (1..).map_while(ProgType::from_raw)
}

/// Map types by number, up to the last that is known.
pub(crate) fn map_types() -> impl Iterator<Item = MapType> {
    (1..).map_while(MapType::from_raw)
}

/// `feature list_builtins GROUP`.
pub(crate) fn list_builtins(_: &Ctx<'_>, mut words: Words<'_>) -> Done {
    words.need(1)?;
    let unspec = || std::iter::once("unspec".to_owned());
    let names: Vec<String> = if words.eat("prog_types") {
        unspec().chain(prog_types().map(ring3::prog_type_name)).collect()
    } else if words.eat("map_types") {
        unspec().chain(map_types().map(ring3::map_type_name)).collect()
    } else if words.eat("attach_types") {
        ATTACH_TYPES.iter().map(|name| (*name).to_owned()).collect()
    } else if words.eat("link_types") {
        link::TYPES.iter().map(|name| (*name).to_owned()).collect()
    } else if words.eat("helpers") {
        let helpers = uapi::HELPERS.iter().map(|helper| helper.name.to_string());
        std::iter::once("bpf_unspec".to_owned()).chain(helpers).collect()
    } else {
        let got = words.peek().unwrap_or_default();
        return Err(Fail::new(format!(
            "expected 'prog_types', 'map_types', 'attach_types', 'link_types' or 'helpers', \
             got: {got}"
        )));
    };
    Ok(Answer::data(Names(names)))
}

struct Names(Vec<String>);

impl Show for Names {
    fn plain(&self, out: &mut Vec<u8>) {
        for name in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.push(b'\n');
        }
    }

    fn json(&self, out: &mut JsonText) {
        out.begin_array();
        self.0.iter().for_each(|name| out.string(name));
        out.end_array();
    }
}
