// Mistake: the limit is checked in 32 bits, the 64-bit value is used.
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
	__u64 i = ctx->args[1];
	__u32 key = 1;
	struct value *v = bpf_map_lookup_elem(&things, &key);

	if (!v)
		return 0;
	if ((__u32)i > 7)
		return 0;
	asm volatile("" : "+r"(i));
	return v->name[i]; // fault
}

char LICENSE[] SEC("license") = "GPL";
