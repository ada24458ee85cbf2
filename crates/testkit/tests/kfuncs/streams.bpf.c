#include "common.h"

SEC("syscall") int streams(void *ctx)
{
	static const char fmt[] = "%d and %s\n";
	char word[8] = "text";
	u64 args[2] = { 7, (u64)word };
	int seen = bpf_stream_vprintk_impl(1, fmt, args, sizeof(args), NULL);

	seen = seen * 100 + bpf_stream_vprintk_impl(2, fmt, args, sizeof(args), NULL);
	seen = seen * 100 - bpf_stream_vprintk_impl(3, fmt, args, sizeof(args), NULL);
	seen = seen * 100 - bpf_stream_vprintk_impl(1, fmt, args, 12, NULL);
	return seen;
}
