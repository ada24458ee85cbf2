// Mistake: a global function gets memory that is too short.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u64 a, b;
};

__noinline int sum(struct pair *pair)
{
	return pair ? pair->a + pair->b : 0;
}

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u64 one = ctx->rx_queue_index;

	return sum((void *)&one); // fault
}

char LICENSE[] SEC("license") = "GPL";
