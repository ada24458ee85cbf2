// Mistake: a function without a result.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
__attribute__((naked)) int prog(struct xdp_md *ctx)
{
	asm volatile("exit"); // fault
}

char LICENSE[] SEC("license") = "GPL";
