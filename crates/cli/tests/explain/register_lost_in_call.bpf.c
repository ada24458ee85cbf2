// Mistake: R1 is read after a call.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
__attribute__((naked)) int prog(struct xdp_md *ctx)
{
	asm volatile("call 7"); // bpf_get_prandom_u32
	asm volatile("r0 = *(u32 *)(r1 + 0)"); // fault
	asm volatile("exit");
}

char LICENSE[] SEC("license") = "GPL";
