// Mistake: a device program answers 0 or 1.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/dev")
int prog(struct bpf_cgroup_dev_ctx *ctx)
{
	return ctx->major & 3;
}

char LICENSE[] SEC("license") = "GPL";
