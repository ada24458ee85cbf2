// Mistake: half of a pointer is read back.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
__attribute__((naked)) int prog(struct xdp_md *ctx)
{
	asm volatile("*(u64 *)(r10 - 8) = r1");
	asm volatile("r0 = *(u32 *)(r10 - 8)"); // fault
	asm volatile("exit");
}

char LICENSE[] SEC("license") = "GPL";
