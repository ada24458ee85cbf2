// The fix: compare with null first.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("xdp")
int null(struct xdp_md *ctx)
{
	__u32 interface = ctx->ingress_ifindex;
	__u64 *packets = bpf_map_lookup_elem(&seen, &interface);

	if (packets)
		*packets += 1;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
