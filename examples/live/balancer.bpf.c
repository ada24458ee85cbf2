// A load balancer on live packets: connections to port 80 of this host go to one of two back ends,
// chosen by the client's port, and their answers back to the client. A packet that comes in leaves
// by the same interface, readdressed (full NAT by one host). Its way is asked of the kernel's own
// routes and neighbours.
//
//   examples/live/balancer.sh
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define ADDRESS(a, b, c, d) bpf_htonl((a) << 24 | (b) << 16 | (c) << 8 | (d))
#define BACKENDS 2

const volatile __u32 service = ADDRESS(10u, 0, 0, 2);
const volatile __u16 port = 80;
const volatile __u32 backends[BACKENDS] = { ADDRESS(10u, 0, 0, 3), ADDRESS(10u, 0, 0, 4) };

struct client {
	__be32 address;
	__be16 port;
	__u16 pad;
	__u8 mac[ETH_ALEN];
	__u16 backend;
};

// By the client's port: who it is. Two clients with the same port would need ports of our own.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __be16);
	__type(value, struct client);
} clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BACKENDS);
	__type(key, __u32);
	__type(value, __u64);
} connections SEC(".maps");

static __always_inline __u16 adjust(__u16 check, __s64 diff)
{
	__u64 sum = (__u16)~check + (__u64)(__u32)diff;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline int send(struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp,
				__be32 to, const __u8 *mac)
{
	__be32 before[2] = { ip->saddr, ip->daddr };
	__be32 after[2] = { service, to };
	__s64 diff = bpf_csum_diff(before, sizeof(before), after, sizeof(after), 0);

	ip->saddr = service;
	ip->daddr = to;
	ip->check = adjust(ip->check, diff);
	tcp->check = adjust(tcp->check, diff);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
	return XDP_TX;
}

// The hardware address of a back end. Passed on to the stack, the first packet of a connection makes
// no neighbour known: then the address that the hosts of ring3's networks have is taken.
static __always_inline int to_backend(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *ip,
				      struct tcphdr *tcp, __u32 chosen)
{
	struct bpf_fib_lookup way = { .family = AF_INET, .ifindex = ctx->ingress_ifindex };
	__u32 to = backends[chosen % BACKENDS];
	__u8 mac[ETH_ALEN] = { 2, 0 };

	way.ipv4_src = service;
	way.ipv4_dst = to;
	if (bpf_fib_lookup(ctx, &way, sizeof(way), BPF_FIB_LOOKUP_OUTPUT) == BPF_FIB_LKUP_RET_SUCCESS)
		__builtin_memcpy(mac, way.dmac, ETH_ALEN);
	else
		__builtin_memcpy(mac + 2, &to, sizeof(to));
	return send(eth, ip, tcp, to, mac);
}

static __always_inline int from_client(struct xdp_md *ctx, struct ethhdr *eth, struct iphdr *ip,
				       struct tcphdr *tcp)
{
	struct client client = { .address = ip->saddr, .port = tcp->source };
	__u32 chosen = (bpf_ntohs(tcp->source) >> 1 ^ bpf_ntohs(tcp->source)) % BACKENDS;
	__u64 *count = bpf_map_lookup_elem(&connections, &chosen);

	if (tcp->syn && count)
		__sync_fetch_and_add(count, 1);
	client.backend = chosen;
	__builtin_memcpy(client.mac, eth->h_source, ETH_ALEN);
	bpf_map_update_elem(&clients, &client.port, &client, BPF_ANY);
	return to_backend(ctx, eth, ip, tcp, chosen);
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
	if (tcp->dest == bpf_htons(port))
		return from_client(ctx, eth, ip, tcp);
	if (tcp->source == bpf_htons(port)) {
		__be16 of = tcp->dest;
		struct client *client = bpf_map_lookup_elem(&clients, &of);

		if (client)
			return send(eth, ip, tcp, client->address, client->mac);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
