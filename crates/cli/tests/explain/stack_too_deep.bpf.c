// Mistake: two functions with large arrays.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __noinline int inner(int n)
{
	volatile char buffer[300];

	buffer[n & 127] = n;
	return buffer[0];
}

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	volatile char buffer[300];
	int i = ctx->rx_queue_index & 127;

	buffer[i] = i;
	return inner(buffer[3]);
}

char LICENSE[] SEC("license") = "GPL";
