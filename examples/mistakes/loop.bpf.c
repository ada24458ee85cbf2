// Mistake: nothing says that the loop ends.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int loop(struct xdp_md *ctx)
{
	while (bpf_get_prandom_u32() % 6 != 5)
		;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
