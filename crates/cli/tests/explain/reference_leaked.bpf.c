// Mistake: an early return forgets the record.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u32 *record = bpf_ringbuf_reserve(&events, 4, 0);

	if (!record)
		return XDP_PASS;
	if (ctx->rx_queue_index == 3)
		return XDP_DROP;
	*record = 1;
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
