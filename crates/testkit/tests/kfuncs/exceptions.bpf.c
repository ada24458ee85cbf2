#include "common.h"

#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

__noinline int deep(int n)
{
	if (n > 1)
		bpf_throw(n);
	return n + 1;
}

__noinline int deeper(int n)
{
	int volatile kept = deep(n);

	return kept + 1;
}

SEC("tc") int by_cookie(struct __sk_buff *ctx)
{
	return deeper(64);
}

SEC("tc") int not_thrown(struct __sk_buff *ctx)
{
	return deeper(1);
}

__noinline int handler(__u64 cookie)
{
	return cookie + 1000;
}

SEC("tc") __exception_cb(handler) int handled(struct __sk_buff *ctx)
{
	return deeper(7);
}

static int in_loop(__u32 n, int *sum)
{
	if (n == 5)
		bpf_throw(500 + *sum);
	*sum += n;
	return 0;
}

SEC("tc") int out_of_a_loop(struct __sk_buff *ctx)
{
	int sum = 0;

	bpf_loop(10, in_loop, &sum, 0);
	return sum;
}

SEC("tc") int at_once(struct __sk_buff *ctx)
{
	bpf_throw(12);
	return 1;
}
