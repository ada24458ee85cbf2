// Mistake: two pointers are added.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u64 data = ctx->data, data_end = ctx->data_end;

	asm volatile("%0 += %1" : "+r"(data) : "r"(data_end)); // fault
	return data;
}

char LICENSE[] SEC("license") = "GPL";
