// Mistake: a ring buffer has no elements to look up.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&events, &key) ? XDP_DROP : XDP_PASS; // fault
}

char LICENSE[] SEC("license") = "GPL";
