// Mistake: a number without limit is added to a pointer.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct value {
	__u64 count;
	char name[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct value);
} things SEC(".maps");

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 key = 1;
	struct value *v = bpf_map_lookup_elem(&things, &key);
	char *name;

	if (!v)
		return 0;
	name = (char *)v + ctx->args[1]; // fault
	return *name;
}

char LICENSE[] SEC("license") = "GPL";
