/* Programs for the functions of dispatch.bpf.c. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, long);
} lengths SEC(".maps");

/* A function of its own, a map of its own, and the target's context. */
static __noinline long length(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	return end - data;
}

SEC("freplace/first")
int new_first(struct xdp_md *ctx)
{
	int key = 0;
	long *sum = bpf_map_lookup_elem(&lengths, &key);

	if (sum)
		*sum += length(ctx);
	return 1000;
}

SEC("freplace/second")
int new_second(int n)
{
	return n * 7;
}

SEC("freplace/dispatch")
int new_main(struct xdp_md *ctx)
{
	return 4;
}

SEC("?freplace/second")
int other_argument(long n)
{
	return 0;
}

SEC("?freplace/second")
int another_result(struct xdp_md *ctx)
{
	return 0;
}

SEC("?freplace/second")
int more_arguments(int n, int m)
{
	return 0;
}

SEC("?freplace/hidden")
int of_a_static_function(int n)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
