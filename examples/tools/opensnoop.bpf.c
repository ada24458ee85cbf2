// Files that a command opens: path, result, flags.
//
//   ring3 trace opensnoop -- cat /etc/hostname
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

const volatile bool failed = false; // only calls that fail

struct event {
	u32 pid;
	int ret;
	int flags;
	char comm[16];
	char path[256];
};
const struct event *unused __attribute__((unused)); // keeps the type

struct call {
	const char *path;
	int flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

static int begin(unsigned long path, unsigned long flags)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct call call = { .path = (const char *)path, .flags = flags };

	bpf_map_update_elem(&calls, &tid, &call, BPF_ANY);
	return 0;
}

static int end(long ret)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;
	struct call *call = bpf_map_lookup_elem(&calls, &tid);
	struct event *event;

	if (!call)
		return 0;
	if (failed && ret >= 0)
		goto done;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		goto done;
	event->pid = id >> 32;
	event->ret = ret;
	event->flags = call->flags;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (bpf_probe_read_user_str(event->path, sizeof(event->path), call->path) < 0)
		event->path[0] = 0;
	bpf_ringbuf_submit(event, 0);
done:
	bpf_map_delete_elem(&calls, &tid);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_open")
int enter_open(struct trace_event_raw_sys_enter *ctx)
{
	return begin(ctx->args[0], ctx->args[1]);
}

SEC("tracepoint/syscalls/sys_enter_openat")
int enter_openat(struct trace_event_raw_sys_enter *ctx)
{
	return begin(ctx->args[1], ctx->args[2]);
}

SEC("tracepoint/syscalls/sys_exit_open")
int exit_open(struct trace_event_raw_sys_exit *ctx)
{
	return end(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct trace_event_raw_sys_exit *ctx)
{
	return end(ctx->ret);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
