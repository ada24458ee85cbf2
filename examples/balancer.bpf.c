// A load balancer: HTTP to 192.0.2.80 goes out again to one of two backends, chosen by the
// client's port. Rewrites MAC and IP addresses, and the checksums of IP and TCP.
//
//   ring3 run examples/balancer.bpf.c --pcap examples/captures/balancer.pcap --write sent.pcap
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ADDRESS(a, b, c, d) bpf_htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))
#define BACKENDS 2

struct backend {
	__u32 address; // network byte order
	__u8 mac[ETH_ALEN];
};

const volatile __u32 service = ADDRESS(192u, 0, 2, 80);
const volatile __u16 port = 80;

const volatile struct backend backends[BACKENDS] = {
	{ ADDRESS(198u, 51, 100, 11), { 0x02, 0, 0, 0, 0, 0x11 } },
	{ ADDRESS(198u, 51, 100, 12), { 0x02, 0, 0, 0, 0, 0x12 } },
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BACKENDS);
	__type(key, __u32);
	__type(value, __u64);
} forwarded SEC(".maps");

// Adds what `bpf_csum_diff` returned to a checksum of the packet.
static __always_inline __u16 adjust(__u16 check, __s64 diff)
{
	__u64 sum = (__u16)~check + (__u64)(__u32)diff;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void readdress(struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp,
				      const volatile struct backend *to)
{
	__be32 before[2] = { ip->saddr, ip->daddr };
	__be32 after[2] = { ip->daddr, to->address };
	__s64 diff = bpf_csum_diff(before, sizeof(before), after, sizeof(after), 0);

	ip->saddr = after[0];
	ip->daddr = after[1];
	ip->check = adjust(ip->check, diff);
	tcp->check = adjust(tcp->check, diff);
	for (int i = 0; i < ETH_ALEN; i++) {
		eth->h_source[i] = eth->h_dest[i];
		eth->h_dest[i] = to->mac[i];
	}
}

SEC("xdp")
int balancer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_TCP || ip->daddr != service)
		return XDP_PASS;
	if (tcp->dest != bpf_htons(port))
		return XDP_PASS;

	__u32 chosen = bpf_ntohs(tcp->source) % BACKENDS;
	const volatile struct backend *to = &backends[chosen];
	__u64 *packets = bpf_map_lookup_elem(&forwarded, &chosen);

	if (packets)
		__sync_fetch_and_add(packets, 1);
	readdress(eth, ip, tcp, to);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
