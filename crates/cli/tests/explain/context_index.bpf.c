// Mistake: a field is chosen by an index.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u32 i = bpf_get_prandom_u32() & 1;

	return ((__u32 *)ctx)[3 + i]; // fault
}

char LICENSE[] SEC("license") = "GPL";
