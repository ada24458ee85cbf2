// Mistake: XDP programs have no such helper.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	return bpf_get_socket_cookie(ctx) ? XDP_DROP : XDP_PASS; // fault
}

char LICENSE[] SEC("license") = "GPL";
