// Mistake: an index without any limit.
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

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u32 key = 1;
	struct value *v = bpf_map_lookup_elem(&things, &key);

	if (!v)
		return XDP_PASS;
	return v->name[ctx->rx_queue_index]; // fault
}

char LICENSE[] SEC("license") = "GPL";
