// How long a function of a program or library takes, as a histogram of powers of two.
//
//   ring3 trace funclatency libc.so.6:malloc -- ls /
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define SLOTS 64
#define DEPTH 64

// Calls of one thread that have not returned, the innermost last.
struct open {
	u32 depth;
	u64 ns[DEPTH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct open);
} open SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct open);
} none SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, u32);
	__type(value, u64);
} slots SEC(".maps");

static struct open *of_thread(bool make)
{
	u32 tid = bpf_get_current_pid_tgid(), zero = 0;
	struct open *known = bpf_map_lookup_elem(&open, &tid);
	struct open *empty;

	if (known || !make)
		return known;
	empty = bpf_map_lookup_elem(&none, &zero);
	if (!empty)
		return NULL;
	bpf_map_update_elem(&open, &tid, empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&open, &tid);
}

SEC("uprobe")
int entry(void *ctx)
{
	struct open *thread = of_thread(true);
	u32 depth;

	if (!thread)
		return 0;
	depth = thread->depth++;
	if (depth < DEPTH)
		thread->ns[depth] = bpf_ktime_get_ns();
	return 0;
}

SEC("uretprobe")
int back(void *ctx)
{
	struct open *thread = of_thread(false);
	u64 *count, ns;
	u32 depth, slot = 0;

	if (!thread || !thread->depth)
		return 0;
	depth = --thread->depth;
	if (depth >= DEPTH)
		return 0;
	ns = bpf_ktime_get_ns() - thread->ns[depth];
	for (int i = 0; i < SLOTS - 1 && ns > 1; i++) {
		ns >>= 1;
		slot++;
	}
	count = bpf_map_lookup_elem(&slots, &slot);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
