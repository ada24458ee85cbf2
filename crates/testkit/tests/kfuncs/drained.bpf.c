#include "common.h"

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static long take(struct bpf_dynptr *sample, u64 *sum)
{
	u32 number = 0;

	if (bpf_dynptr_read(&number, sizeof(number), sample, 0, 0))
		return 1;
	*sum = *sum * 10 + number;
	return number == 9;
}

SEC("syscall") int drained(void *ctx)
{
	u64 sum = 0;
	long shown = bpf_user_ringbuf_drain(&ring, take, &sum, 0);

	return sum * 100 + shown;
}

SEC("syscall") int bad_flags(void *ctx)
{
	u64 sum = 0;

	return -bpf_user_ringbuf_drain(&ring, take, &sum, 4);
}
