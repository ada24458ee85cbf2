// Mistake: a helper for GPL programs.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	long n;

	bpf_probe_read_kernel(&n, sizeof(n), (void *)ctx->args[0]); // fault
	return 0;
}

char LICENSE[] SEC("license") = "Proprietary";
