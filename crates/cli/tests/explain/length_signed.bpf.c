// Mistake: a length that may be negative.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	char buffer[64];
	int length = ctx->args[1];

	if (length > 64)
		return 0;
	bpf_probe_read_kernel(buffer, length, (void *)ctx->args[0]); // fault
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
