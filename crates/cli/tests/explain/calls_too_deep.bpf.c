// Mistake: nine functions are active at once.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static __noinline int f9(int n)
{
	volatile int m = n;

	return m;
}

static __noinline int f8(int n)
{
	volatile int m = f9(n + 1);

	return m;
}

static __noinline int f7(int n)
{
	volatile int m = f8(n + 1);

	return m;
}

static __noinline int f6(int n)
{
	volatile int m = f7(n + 1);

	return m;
}

static __noinline int f5(int n)
{
	volatile int m = f6(n + 1);

	return m;
}

static __noinline int f4(int n)
{
	volatile int m = f5(n + 1);

	return m;
}

static __noinline int f3(int n)
{
	volatile int m = f4(n + 1);

	return m;
}

static __noinline int f2(int n)
{
	volatile int m = f3(n + 1);

	return m;
}

SEC("xdp")
int prog(struct xdp_md *ctx)
{
	return f2(ctx->rx_queue_index);
}

char LICENSE[] SEC("license") = "GPL";
