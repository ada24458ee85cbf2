// SPDX-License-Identifier: MIT OR Apache-2.0
// One program of many types, to be run on a context of your own:
//   ring3 run contexts.bpf.c --prog unlinkat --ctx '{"dfd":-100,"name":{"name":"/tmp/x"}}'
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define EACCES 13

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("kprobe/do_unlinkat")
int BPF_KPROBE(unlinkat, int dfd, struct filename *name)
{
	char text[16];

	bpf_probe_read_kernel_str(text, sizeof(text), BPF_CORE_READ(name, name));
	bpf_printk("unlinkat %d %s", dfd, text);
	return 0;
}

SEC("ksyscall/openat")
int BPF_KSYSCALL(openat, int dfd, const char *path, int flags)
{
	char text[16];

	bpf_probe_read_user_str(text, sizeof(text), path);
	bpf_printk("openat %d %s %x", dfd, text, flags);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(length, const char *text)
{
	char first = 0;

	bpf_probe_read_user(&first, 1, text);
	return first;
}

SEC("tp/syscalls/sys_enter_openat")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	char text[16];

	bpf_probe_read_user_str(text, sizeof(text), (void *)ctx->args[1]);
	bpf_printk("enter %ld %s", ctx->id, text);
	return 0;
}

SEC("tp/sched/sched_process_exec")
int exec(struct trace_event_raw_sched_process_exec *ctx)
{
	unsigned int off = ctx->__data_loc_filename & 0xffff;
	char text[16];

	bpf_probe_read_str(text, sizeof(text), (void *)ctx + off);
	bpf_printk("exec %d %s", ctx->pid, text);
	return 0;
}

SEC("raw_tp/sched_switch")
int BPF_PROG(raw_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bpf_printk("switch %d %d", BPF_CORE_READ(prev, pid), BPF_CORE_READ(next, pid));
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(typed_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	bpf_printk("%d %s of %d", next->pid, next->comm, next->real_parent->pid);
	return preempt;
}

SEC("fentry/do_unlinkat")
int BPF_PROG(entry, int dfd, struct filename *name)
{
	bpf_printk("%d %s, %d arguments", dfd, name->name, bpf_get_func_arg_cnt(ctx));
	return 0;
}

SEC("fexit/do_unlinkat")
int BPF_PROG(back, int dfd, struct filename *name, long ret)
{
	bpf_printk("%d gave %ld", dfd, ret);
	return 0;
}

SEC("lsm/ptrace_access_check")
int BPF_PROG(no_ptrace, struct task_struct *child, unsigned int mode)
{
	return child->pid == 7 && mode == 2 ? -EACCES : 0;
}

SEC("iter/task")
int tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	BPF_SEQ_PRINTF(ctx->meta->seq, "%d %s\n", task->pid, task->comm);
	return 0;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (ctx->user_ip4 != bpf_htonl(0x0a000001))
		return 0;
	ctx->user_port = bpf_htons(8080);
	bpf_printk("mark %d", sk->mark);
	return 1;
}

SEC("cgroup/getsockopt")
int option(struct bpf_sockopt *ctx)
{
	char *value = ctx->optval, *end = ctx->optval_end;

	if (value + 2 > end)
		return 0;
	value[1] = '!';
	ctx->retval = 0;
	return ctx->optlen == 5 && value[0] == 'h';
}

SEC("cgroup/dev")
int device(struct bpf_cgroup_dev_ctx *ctx)
{
	return ctx->major == 1 && ctx->minor == 3;
}

SEC("cgroup/sysctl")
int sysctl(struct bpf_sysctl *ctx)
{
	ctx->file_pos = 4;
	return !ctx->write;
}

SEC("sk_msg")
int message(struct sk_msg_md *ctx)
{
	char *data = ctx->data, *end = ctx->data_end;

	return data + 4 <= end && data[3] == 'l' && ctx->size == 5;
}

SEC("sockops")
int operations(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_RWND_INIT && ctx->remote_ip4 == bpf_htonl(0x01020304))
		ctx->reply = 7;
	return 1;
}

SEC("sk_reuseport")
int reuse(struct sk_reuseport_md *ctx)
{
	return ctx->len == 3 ? SK_PASS : SK_DROP;
}

SEC("sk_lookup")
int lookup(struct bpf_sk_lookup *ctx)
{
	return ctx->local_port == 80 && ctx->protocol == IPPROTO_TCP ? SK_PASS : SK_DROP;
}

SEC("sk_skb/stream_verdict")
int verdict(struct __sk_buff *ctx)
{
	return ctx->remote_port == bpf_htonl(443) ? SK_PASS : SK_DROP;
}

SEC("tc")
int mark(struct __sk_buff *ctx)
{
	ctx->mark = ctx->hash + 1;
	return 2;
}

SEC("xdp")
int queue(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex == 5 && ctx->rx_queue_index == 2 ? XDP_PASS : XDP_DROP;
}

SEC("netfilter")
int filter(struct bpf_nf_ctx *ctx)
{
	return ctx->state->pf == 2 && ctx->skb->len == 99;
}

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	return ctx->regs.ip == 0x400000 ? ctx->sample_period : 0;
}

struct question {
	int number;
	long answer;
};

SEC("syscall")
int ask(struct question *ctx)
{
	ctx->answer = ctx->number + 1;
	return ctx->number;
}
