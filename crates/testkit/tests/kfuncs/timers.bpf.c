#include "common.h"

struct elem {
	__u64 fired;
	struct bpf_timer timer;
	__u64 key;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct elem);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct elem);
} array SEC(".maps");

static int fire(void *map, int *key, struct elem *e)
{
	e->key = *key + 100;
	__sync_fetch_and_add(&e->fired, 1);
	return 0;
}

static void wait(struct elem *e)
{
	__u64 until = bpf_ktime_get_ns() + 2000000000;
	int n;

	bpf_for(n, 0, 8000000)
		if (*(volatile __u64 *)&e->fired || bpf_ktime_get_ns() > until)
			break;
}

SEC("syscall") int in_hash(void *ctx)
{
	struct elem empty = {}, *e;
	int key = 7, ret;

	if (bpf_map_update_elem(&hash, &key, &empty, BPF_ANY))
		return -1;
	e = bpf_map_lookup_elem(&hash, &key);
	if (!e)
		return -2;
	ret = bpf_timer_init(&e->timer, &hash, 1);
	ret = ret * 10 + bpf_timer_set_callback(&e->timer, fire);
	ret = ret * 10 + bpf_timer_start(&e->timer, 1000, 0);
	wait(e);
	return ret * 10000 + e->fired * 1000 + e->key;
}

SEC("syscall") int in_array(void *ctx)
{
	int key = 2, ret;
	struct elem *e = bpf_map_lookup_elem(&array, &key);

	if (!e)
		return -1;
	e->fired = 0;
	ret = bpf_timer_init(&e->timer, &array, 1);
	ret += bpf_timer_set_callback(&e->timer, fire);
	ret += bpf_timer_start(&e->timer, bpf_ktime_get_ns() + 1000, BPF_F_TIMER_ABS);
	wait(e);
	return ret * 10000 + e->fired * 1000 + e->key;
}

// What is refused, and in which order.
SEC("syscall") int refusals(void *ctx)
{
	int key = 1;
	struct elem *e = bpf_map_lookup_elem(&array, &key);
	__u64 seen = 0;

	if (!e)
		return -1;
#define SEE(x) seen = seen * 3 + (__u64)-(x)
	SEE(bpf_timer_cancel(&e->timer));
	SEE(bpf_timer_start(&e->timer, 0, 0));
	SEE(bpf_timer_set_callback(&e->timer, fire));
	SEE(bpf_timer_init(&e->timer, &array, 2));
	SEE(bpf_timer_init(&e->timer, &array, 16));
	SEE(bpf_timer_init(&e->timer, &array, 7));
	SEE(bpf_timer_init(&e->timer, &array, 7));
	SEE(bpf_timer_start(&e->timer, 0, 0));
	SEE(bpf_timer_set_callback(&e->timer, fire));
	SEE(bpf_timer_start(&e->timer, 0, 4));
	SEE(bpf_timer_start(&e->timer, 1000000000000, 0));
	seen = seen * 3 + bpf_timer_cancel(&e->timer);
	SEE(bpf_timer_start(&e->timer, 0, 0));
	seen = seen * 3 + bpf_timer_cancel(&e->timer);
	return seen & 0x7fffffff;
}
