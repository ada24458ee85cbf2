// Mistake: a length that may be zero.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	char comm[16];

	bpf_get_current_comm(comm, ctx->args[1] & 15); // fault
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
