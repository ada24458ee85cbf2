// Mistake: the address of a field is formed before the check.
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
	char *name = v->name; // fault

	asm volatile("" : "+r"(name));
	if (!v)
		return XDP_PASS;
	return name[0];
}

char LICENSE[] SEC("license") = "GPL";
