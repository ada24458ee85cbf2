// Mistake: a division by the constant 0.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u64 n = ctx->rx_queue_index;

	asm volatile("%0 /= 0" : "+r"(n)); // fault
	return n;
}

char LICENSE[] SEC("license") = "GPL";
