// Mistake: the loop waits for chance.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	while (bpf_get_prandom_u32() % 6 != 5) // fault
		;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
