// Mistake: a calculation with data_end.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;

	data_end -= 4;
	asm volatile("" : "+r"(data_end));
	if (data > data_end)
		return XDP_PASS;
	return *(__u32 *)data;
}

char LICENSE[] SEC("license") = "GPL";
