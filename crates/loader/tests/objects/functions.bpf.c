// Static and global functions called from several programs, addresses of functions, odd sections.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int total;
static volatile int hidden_from_skeleton;
__hidden int hidden_total;

__attribute__((noinline)) static int leaf(int a) { return a * 3 + total; }
__attribute__((noinline)) static int middle(int a) { return leaf(a + 1) ^ hidden_from_skeleton; }
__attribute__((noinline)) int global_top(int a) { return middle(a) + leaf(a) + hidden_total; }
__hidden __attribute__((noinline)) int hidden_func(int a) { return leaf(a) * 5 + global_top(a); }
__weak __attribute__((noinline)) int weak_func(int a) { return hidden_func(a) - 1; }

struct loop_ctx { int sum; };
static int each(__u32 index, struct loop_ctx *ctx)
{
	ctx->sum += leaf(index);
	return 0;
}

SEC("xdp") int uses_leaf(struct xdp_md *ctx) { return leaf(ctx->data); }
SEC("xdp") int uses_all(struct xdp_md *ctx) { return weak_func(ctx->data) + middle(2); }
SEC("tc") int loops(struct __sk_buff *skb)
{
	struct loop_ctx ctx = {};

	bpf_loop(10, each, &ctx, 0);
	return ctx.sum + global_top(skb->len);
}
SEC("?socket") int not_loaded(struct __sk_buff *skb) { return global_top(skb->len); }
SEC("kprobe/do_unlinkat") int probe(void *ctx) { return middle(1); }
SEC("fentry.s/do_unlinkat") int sleeps(void *ctx) { return 0; }
char _license[] SEC("license") = "Dual BSD/GPL";
int _version SEC("version") = 0x060c07;
