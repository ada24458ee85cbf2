// How often a command makes which system call, and how long they take.
//
//   ring3 trace syscount -- ls /
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct count {
	u64 calls;
	u64 errors;
	u64 ns;
};

struct start {
	u64 id;
	u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, struct start);
} starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct count);
} counts SEC(".maps");

SEC("tracepoint/raw_syscalls/sys_enter")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct start start = { .id = ctx->id, .ns = bpf_ktime_get_ns() };

	bpf_map_update_elem(&starts, &tid, &start, BPF_ANY);
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int leave(struct trace_event_raw_sys_exit *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct start *start = bpf_map_lookup_elem(&starts, &tid);
	struct count none = {}, *count;
	u32 id;

	if (!start || start->id != ctx->id)
		return 0;
	id = start->id;
	count = bpf_map_lookup_elem(&counts, &id);
	if (!count) {
		bpf_map_update_elem(&counts, &id, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&counts, &id);
		if (!count)
			return 0;
	}
	__sync_fetch_and_add(&count->calls, 1);
	__sync_fetch_and_add(&count->ns, bpf_ktime_get_ns() - start->ns);
	if (ctx->ret < 0)
		__sync_fetch_and_add(&count->errors, 1);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
