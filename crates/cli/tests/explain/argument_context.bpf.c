// Mistake: the context is passed as memory.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	bpf_ringbuf_output(&events, ctx, 8, 0); // fault
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
