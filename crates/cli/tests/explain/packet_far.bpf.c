// Mistake: the offset has no limit, so that the comparison does not count.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u32 *length = data;
	__u8 *byte;

	if (data + 4 > data_end)
		return XDP_PASS;
	byte = data + (*length & 0xfffff);
	if ((void *)byte + 1 > data_end)
		return XDP_PASS;
	return *byte ? XDP_DROP : XDP_PASS; // fault
}

char LICENSE[] SEC("license") = "GPL";
