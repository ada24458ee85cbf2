//! Own programs, against what the command says of itself.

use ring3::live::Ended;

use crate::support::{Seen, bpf, ready, run, shell, tempdir};

const HEAD: &str = r#"
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
char LICENSE[] SEC("license") = "GPL";
"#;

fn trace(source: &str, script: &str) -> (Vec<String>, Seen) {
    let dir = tempdir();
    let seen = shell(bpf(&dir, &format!("{HEAD}{source}")), script);
    let _ = std::fs::remove_dir_all(&dir);
    let lines = seen.trace.lines().filter_map(|l| l.split("bpf_trace_printk: ").nth(1));
    (lines.map(str::to_owned).collect(), seen)
}

/// The task structure by BTF loads and by reads of kernel memory.
#[test]
fn the_task_is_that_of_the_process() {
    if !ready(&["clang-19"]) {
        return;
    }
    let source = r#"
SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec, struct task_struct *p, int old, struct linux_binprm *bprm)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct task_struct *k = (void *)bpf_get_current_task();
	char name[64], exe[32];
	bpf_probe_read_kernel_str(name, sizeof(name), bprm->filename);
	const unsigned char *last = BPF_CORE_READ(k, mm, exe_file, f_path.dentry, d_name.name);
	bpf_probe_read_kernel_str(exe, sizeof(exe), last);
	bpf_printk("%d %d %d", t == p, BPF_CORE_READ(k, tgid) == t->tgid, old == t->pid);
	bpf_printk("pid %d ppid %d", t->pid, t->real_parent->tgid);
	bpf_printk("uid %d gid %d", t->cred->uid.val, BPF_CORE_READ(k, cred, gid.val));
	bpf_printk("%s as %s", name, exe);
	char arg[16];
	bpf_probe_read_user_str(arg, sizeof(arg), (void *)t->mm->arg_start);
	bpf_printk("arg %s comm %s", arg, t->comm);
	bpf_printk("pid ns %u", t->nsproxy->pid_ns_for_children->ns.inum);
	return 0;
}"#;
    let dir = tempdir();
    let out = dir.join("said");
    let script = format!(
        "/bin/sh -c 'echo $$ $PPID $(id -u) $(id -g); readlink /proc/self/ns/pid' >{}",
        out.display()
    );
    // The outer shell, the inner one, and what that runs.
    let (lines, _) = trace(source, &script);
    let said = std::fs::read_to_string(&out).expect("the command's words");
    let _ = std::fs::remove_dir_all(&dir);
    let words: Vec<&str> = said.split_whitespace().collect();
    let [pid, ppid, uid, gid, ns] = words[..] else { panic!("{said}") };
    let ns = ns.trim_start_matches("pid:[").trim_end_matches(']');
    for want in [
        format!("pid {pid} ppid {ppid}"),
        format!("uid {uid} gid {gid}"),
        format!("pid ns {ns}"),
        "arg /bin/sh comm sh".into(),
        "arg id comm id".into(),
    ] {
        assert!(lines.contains(&want), "{want}: {lines:#?}");
    }
    assert!(lines.iter().filter(|l| l.ends_with(" 1")).all(|l| l == "1 1 1"), "{lines:#?}");
    assert!(lines.iter().any(|l| l.starts_with("/bin/sh as ")), "{lines:#?}");
}

#[test]
fn kernel_memory_ends_where_the_synthetic_kernel_ends() {
    if !ready(&["clang-19"]) {
        return;
    }
    let source = r#"
SEC("tp/syscalls/sys_enter_execve")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	long value = 1;
	long user = ctx->args[0];
	char path[32];
	bpf_printk("%d", bpf_probe_read_kernel(&value, 8, (void *)user));
	bpf_printk("%ld", value);
	bpf_printk("%d", bpf_probe_read_kernel(&value, 8, (void *)0x1000));
	bpf_printk("%d", bpf_probe_read_kernel(&value, 8, (void *)0xffff888000000000));
	bpf_printk("%d", bpf_probe_read_user(&value, 8, (void *)0xffff888000000000));
	bpf_printk("%d", bpf_probe_read_user(path, sizeof(path), 0));
	return 0;
}"#;
    let (lines, seen) = trace(source, "exit 4");
    assert_eq!(lines, ["-14", "0", "-14", "-14", "-14", "-14"]);
    assert_eq!(seen.ended, Ended::Exited(4));
}

#[test]
fn system_calls_come_with_registers_in_every_form() {
    if !ready(&["clang-19"]) {
        return;
    }
    let source = r#"
SEC("raw_tp/sys_enter") int raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (void *)ctx->args[0];
	if (ctx->args[1] == 62) bpf_printk("raw_tp %d %d", ctx->args[1], PT_REGS_PARM2_CORE(regs));
	return 0;
}
SEC("tp_btf/sys_exit") int BPF_PROG(btf, struct pt_regs *regs, long ret)
{
	if (regs->orig_ax == 62) bpf_printk("tp_btf %d %d", regs->si, ret);
	return 0;
}
SEC("kprobe/__x64_sys_kill") int BPF_KPROBE_SYSCALL(probe, int pid, int sig)
{
	bpf_printk("kprobe %d", sig); return 0;
}
SEC("kretprobe/__x64_sys_kill") int BPF_KRETPROBE(ret, long ret) { bpf_printk("kretprobe %d", ret); return 0; }
SEC("ksyscall/kill") int BPF_KSYSCALL(call, int pid, int sig) { bpf_printk("ksyscall %d", sig); return 0; }
SEC("fentry/__x64_sys_kill") int BPF_PROG(in, const struct pt_regs *regs) { bpf_printk("fentry %d", regs->si); return 0; }
SEC("fexit/__x64_sys_kill") int BPF_PROG(out, const struct pt_regs *regs, long ret)
{
	bpf_printk("fexit %d %d", regs->si, ret); return 0;
}
"#;
    let (lines, _) = trace(source, "kill -s CONT $$");
    assert_eq!(
        lines,
        [
            "raw_tp 62 18",
            "kprobe 18",
            "ksyscall 18",
            "fentry 18", // in
            "tp_btf 18 0",
            "kretprobe 0",
            "fexit 18 0", // out
        ]
    );
}

#[test]
fn signals_of_programs_reach_the_command() {
    if !ready(&["clang-19"]) {
        return;
    }
    let source = r#"
SEC("kprobe/__x64_sys_kill") int BPF_KPROBE_SYSCALL(no_kill, int pid, int sig)
{
	if (sig == 2) bpf_send_signal(12);
	return 0;
}"#;
    let script = "trap 'exit 9' USR2; kill -s INT 999999999 2>/dev/null; sleep 1; exit 2";
    let (_, seen) = trace(source, script);
    assert_eq!(seen.ended, Ended::Exited(9), "USR2 came");
}

/// Every fork, exec and exit of a tree is told once.
#[test]
fn no_process_of_a_tree_is_lost_or_told_twice() {
    if !ready(&["clang-19"]) {
        return;
    }
    let source = r#"
int forks, execs, exits;
SEC("tp/sched/sched_process_fork") int on_fork(struct trace_event_raw_sched_process_fork *ctx)
{ __sync_fetch_and_add(&forks, 1); return 0; }
SEC("raw_tp/sched_process_exec") int on_exec(void *ctx) { __sync_fetch_and_add(&execs, 1); return 0; }
SEC("tp/sched/sched_process_exit") int on_exit(void *ctx) { __sync_fetch_and_add(&exits, 1); return 0; }
"#;
    let script = "for a in 1 2 3 4 5 6 7 8; do (for b in 1 2 3 4 5 6 7 8 9 10; do /bin/true; done; true) & done; wait";
    let dir = tempdir();
    let seen = run(bpf(&dir, &format!("{HEAD}{source}")), &[], &["/bin/sh", "-c", script]);
    let _ = std::fs::remove_dir_all(&dir);
    let (_, bss) = seen.maps.iter().find(|(name, _)| name.ends_with(".bss")).expect(".bss");
    let text = bss.to_string();
    // Eight subshells of ten commands each, and the shell itself.
    for want in ["\"forks\":88", "\"execs\":81", "\"exits\":89"] {
        assert!(text.contains(want), "{want}: {text}");
    }
}
