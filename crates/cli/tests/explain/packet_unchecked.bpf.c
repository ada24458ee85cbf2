// Mistake: no comparison with the end at all.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u32 *data = (void *)(long)ctx->data;

	return data[3] == 7 ? XDP_DROP : XDP_PASS; // fault
}

char LICENSE[] SEC("license") = "GPL";
