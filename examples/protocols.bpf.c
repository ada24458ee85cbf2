// Counts packets and bytes by protocol in a hash, and packets by size in a per-CPU array.
//
//   ring3 run examples/protocols.bpf.c --pcap examples/captures/protocols.pcap
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct protocol {
	__u16 ethertype; // host byte order
	__u8 ip_protocol; // 0 if it is not IP
	__u8 pad;
};

struct traffic {
	__u64 packets;
	__u64 bytes;
};

enum size_class { SMALL, MEDIUM, LARGE, SIZE_CLASSES };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct protocol);
	__type(value, struct traffic);
} by_protocol SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SIZE_CLASSES);
	__type(key, __u32);
	__type(value, __u64);
} by_size SEC(".maps");

static __always_inline struct protocol classify(void *data, void *end)
{
	struct protocol protocol = {};
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) > end)
		return protocol;
	protocol.ethertype = bpf_ntohs(eth->h_proto);
	if (protocol.ethertype == ETH_P_IP) {
		struct iphdr *ip = data + sizeof(*eth);

		if ((void *)(ip + 1) <= end)
			protocol.ip_protocol = ip->protocol;
	} else if (protocol.ethertype == ETH_P_IPV6) {
		struct ipv6hdr *ip = data + sizeof(*eth);

		if ((void *)(ip + 1) <= end)
			protocol.ip_protocol = ip->nexthdr;
	}
	return protocol;
}

SEC("xdp")
int protocols(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u64 bytes = end - data;
	struct protocol protocol = classify(data, end);
	__u32 size = bytes < 128 ? SMALL : bytes < 1024 ? MEDIUM : LARGE;
	struct traffic *traffic = bpf_map_lookup_elem(&by_protocol, &protocol);
	__u64 *packets = bpf_map_lookup_elem(&by_size, &size);

	if (traffic) {
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, bytes);
	} else {
		struct traffic first = { .packets = 1, .bytes = bytes };

		bpf_map_update_elem(&by_protocol, &protocol, &first, BPF_ANY);
	}
	if (packets)
		*packets += 1;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
