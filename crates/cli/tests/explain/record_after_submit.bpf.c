// Mistake: a record is written after it was submitted.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u64 *record = bpf_ringbuf_reserve(&events, 16, 0);

	if (!record)
		return XDP_PASS;
	record[0] = 1;
	bpf_ringbuf_submit(record, 0);
	record[1] = 2; // fault
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
