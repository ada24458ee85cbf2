// Mistake: a constant is written.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile int limit = 3;

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	*(volatile int *)&limit = 4; // fault
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
