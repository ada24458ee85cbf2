// Mistake: XDP contexts are shorter.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	return *(__u32 *)((void *)ctx + 64); // fault
}

char LICENSE[] SEC("license") = "GPL";
