// Mistake: a loop of many iterations.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < 1000000; i++) {
		sum += i;
		asm volatile("" : "+r"(sum));
	}
	return sum;
}

char LICENSE[] SEC("license") = "GPL";
