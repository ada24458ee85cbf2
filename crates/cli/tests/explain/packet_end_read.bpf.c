// Mistake: data_end is read through.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u8 *data_end = (void *)(long)ctx->data_end;

	return *data_end; // fault
}

char LICENSE[] SEC("license") = "GPL";
