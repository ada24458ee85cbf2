//! What BPF_PROG_LOAD checks about its attributes before the verifier runs.

use uapi::{MAX_INSNS, ProgType};

use crate::error::{Checked, reject};
use crate::input::{Policy, Program};

/// Flags that Linux 6.18 knows: all up to BPF_F_TEST_REG_INVARIANTS, and BPF_F_TOKEN_FD.
const KNOWN_FLAGS: u32 = 0xff | 1 << 16;
/// Bytes of a program's name, without the closing zero.
const MAX_NAME: usize = uapi::OBJ_NAME_LEN - 1;

/// Types that need CAP_NET_ADMIN.
const NET_ADMIN: &[ProgType] = &[
    ProgType::SchedCls,
    ProgType::SchedAct,
    ProgType::Xdp,
    ProgType::LwtIn,
    ProgType::LwtOut,
    ProgType::LwtXmit,
    ProgType::LwtSeg6local,
    ProgType::SkSkb,
    ProgType::SkMsg,
    ProgType::FlowDissector,
    ProgType::CgroupDevice,
    ProgType::CgroupSock,
    ProgType::CgroupSockAddr,
    ProgType::CgroupSockopt,
    ProgType::CgroupSysctl,
    ProgType::SockOps,
    ProgType::Ext,
    ProgType::Netfilter,
];

/// Types that need CAP_PERFMON.
const PERFMON: &[ProgType] = &[
    ProgType::Kprobe,
    ProgType::Tracepoint,
    ProgType::PerfEvent,
    ProgType::RawTracepoint,
    ProgType::RawTracepointWritable,
    ProgType::Tracing,
    ProgType::Lsm,
    ProgType::StructOps,
    ProgType::Ext,
];

/// Types that attach to something named by `attach_btf_id`.
const BY_BTF_ID: &[ProgType] =
    &[ProgType::Tracing, ProgType::Lsm, ProgType::StructOps, ProgType::Ext];

/// Attributes and capabilities, in Linux's order; rejections carry no text.
pub(crate) fn check_attributes(prog: &Program, policy: &Policy) -> Checked {
    let admin = policy.cap_sys_admin;
    let cap_bpf = policy.cap_bpf || admin;
    if prog.flags & !KNOWN_FLAGS != 0 {
        return reject!(EINVAL);
    }
    if !cap_bpf {
        return reject!(EPERM); // kernel.unprivileged_bpf_disabled, as distributions set it
    }
    if prog.insns.is_empty() || prog.insns.len() > MAX_INSNS {
        return reject!(E2BIG);
    }
    let is = |types: &[ProgType]| prog.prog_type.is_some_and(|t| types.contains(&t));
    if is(NET_ADMIN) && !policy.cap_net_admin && !admin {
        return reject!(EPERM);
    }
    if is(PERFMON) && !policy.cap_perfmon && !admin {
        return reject!(EPERM);
    }
    let Some(prog_type) = prog.prog_type else { return reject!(EINVAL) };
    if prog.attach_btf_id != 0 && !is(BY_BTF_ID) {
        return reject!(EINVAL);
    }
    check_attach_type(prog_type, prog.expected_attach_type)?;
    if prog_type == ProgType::LircMode2 {
        return reject!(EINVAL); // CONFIG_BPF_LIRC_MODE2 is off in the kernel of the facts
    }
    check_name(&prog.name)
}

/// Tracing, LSM and struct_ops programs are told apart later, with a message.
fn check_attach_type(prog_type: ProgType, attach: u32) -> Checked {
    if matches!(prog_type, ProgType::Tracing | ProgType::Lsm | ProgType::StructOps) {
        return Ok(());
    }
    let attach = match (prog_type, attach) {
        // Old loaders leave these at zero; Linux puts the first of the type there.
        (ProgType::CgroupSock, 0) => 2,
        (ProgType::SkReuseport, 0) => 39,
        (_, attach) => attach,
    };
    let accepted = uapi::prog_type_facts(prog_type).attach_types;
    if prog_type == ProgType::Ext && attach != 0 {
        return reject!(EINVAL);
    }
    if !accepted.is_empty() && !accepted.contains(&attach) {
        return reject!(EINVAL);
    }
    Ok(())
}

fn check_name(name: &str) -> Checked {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    if name.len() > MAX_NAME || !name.bytes().all(ok) {
        return reject!(EINVAL);
    }
    Ok(())
}
