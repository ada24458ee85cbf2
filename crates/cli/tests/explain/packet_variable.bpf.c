// Mistake: behind a header of variable length nothing is checked.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct tcphdr *tcp;

	if (data + sizeof(struct ethhdr) + sizeof(*ip) > data_end)
		return XDP_PASS;
	tcp = (void *)ip + ip->ihl * 4;
	if (tcp->window == 0) // fault
		return XDP_DROP;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
