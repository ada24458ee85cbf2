#include "common.h"

extern int bpf_xdp_pull_data(struct xdp_md *x, u32 len) __ksym;

static u32 seen(struct xdp_md *ctx)
{
	long end = ctx->data_end, data = ctx->data;

	// Not to be mixed with other sums.
	asm volatile("%0 -= %1" : "+r"(end) : "r"(data));
	return end;
}

// How much is in one piece after each request, and the byte that came in last.
SEC("xdp.frags") int pulled(struct xdp_md *ctx)
{
	u32 before = seen(ctx), all = bpf_xdp_get_buff_len(ctx), sum;
	int refused = bpf_xdp_pull_data(ctx, all + 1);
	int same = bpf_xdp_pull_data(ctx, before - 1);
	int more = bpf_xdp_pull_data(ctx, before + 200);
	u8 byte = 0;

	sum = -refused * 1000 + same * 100 + -more;
	bpf_xdp_load_bytes(ctx, 3650, &byte, 1);
	sum += byte * 100000;
	return sum + (seen(ctx) - before);
}
