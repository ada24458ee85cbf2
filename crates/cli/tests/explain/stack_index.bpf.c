// Mistake: an index beyond an array on the stack.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	volatile char buffer[16] = {};
	__u32 i = ctx->rx_queue_index;

	if (i >= 32)
		return XDP_PASS;
	buffer[i] = 1; // fault
	return buffer[0];
}

char LICENSE[] SEC("license") = "GPL";
