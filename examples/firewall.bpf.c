// Drops IPv4 packets by their source address: those of a list that is built in, and those that
// user space puts into the map `denied`. Counts what it drops by address.
//
//   ring3 run examples/firewall.bpf.c --pcap examples/captures/firewall.pcap --write passed.pcap
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ADDRESS(a, b, c, d) bpf_htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))

// Network byte order; 0 ends the list.
const volatile __u32 built_in[4] = {
	ADDRESS(192u, 0, 2, 66),
	ADDRESS(192u, 0, 2, 13),
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u8);
} denied SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} dropped SEC(".maps");

static __always_inline int is_denied(__u32 source)
{
	if (bpf_map_lookup_elem(&denied, &source))
		return 1;
	for (int i = 0; i < 4; i++)
		if (built_in[i] && built_in[i] == source)
			return 1;
	return 0;
}

static __always_inline void count(__u32 source)
{
	__u64 *packets = bpf_map_lookup_elem(&dropped, &source);
	__u64 one = 1;

	if (packets)
		__sync_fetch_and_add(packets, 1);
	else
		bpf_map_update_elem(&dropped, &source, &one, BPF_ANY);
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (!is_denied(ip->saddr))
		return XDP_PASS;
	count(ip->saddr);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
