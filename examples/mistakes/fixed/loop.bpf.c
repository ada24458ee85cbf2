// The fix: try a known number of times.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int loop(struct xdp_md *ctx)
{
	for (int i = 0; i < 100; i++)
		if (bpf_get_prandom_u32() % 6 == 5)
			return XDP_PASS;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
