/* A program with global functions for others to take the place of. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

long calls;

__noinline int first(struct xdp_md *ctx)
{
	/* The compiler must not know the result. */
	int result = 10;

	calls += 1;
	asm volatile("" : "+r"(result) : "r"(ctx));
	return result;
}

__noinline int second(int n)
{
	calls += 100;
	asm volatile("" : "+r"(n));
	return n + 1;
}

__noinline static int hidden(int n)
{
	asm volatile("" : "+r"(n));
	return n;
}

SEC("xdp")
int dispatch(struct xdp_md *ctx)
{
	return first(ctx) + second(hidden(5));
}

char _license[] SEC("license") = "GPL";
