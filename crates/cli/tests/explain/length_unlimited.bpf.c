// Mistake: a length without a limit.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	char buffer[64];

	bpf_probe_read_kernel(buffer, (__u32)ctx->args[1], (void *)ctx->args[0]); // fault
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
