// Drops about half of the packets: those that arrive at an even nanosecond.
//
//   ring3 run examples/minimal.bpf.c --pcap examples/captures/web.pcap
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int minimal(struct xdp_md *ctx)
{
	if (bpf_ktime_get_ns() % 2)
		return XDP_PASS;
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
