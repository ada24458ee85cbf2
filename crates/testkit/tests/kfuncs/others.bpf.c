#include "common.h"

struct locked {
	struct bpf_res_spin_lock lock;
	u64 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct locked);
} locks SEC(".maps");

SEC("tc") int deadlock(struct __sk_buff *ctx)
{
	int key = 0, ret, seen = 0;
	struct locked *a = bpf_map_lookup_elem(&locks, &key), *b;

	key = 1;
	b = bpf_map_lookup_elem(&locks, &key);
	if (!a || !b)
		return -1;
	if (bpf_res_spin_lock(&a->lock))
		return -2;
	ret = bpf_res_spin_lock(&b->lock);
	if (!ret) {
		seen = 1;
		bpf_res_spin_unlock(&b->lock);
	}
	bpf_res_spin_unlock(&a->lock);
	return seen;
}

struct work {
	struct bpf_wq wq;
	u64 done;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct work);
} works SEC(".maps");

static int run(void *map, int *key, void *value)
{
	struct work *w = value;

	w->done = 100 + *key;
	return 0;
}

// Started by the first run, which has it done before the second one.
SEC("syscall") int queued(void *ctx)
{
	int key = 0, ret;
	struct work *w = bpf_map_lookup_elem(&works, &key);

	if (!w)
		return -1;
	if (w->done)
		return w->done;
	ret = bpf_wq_start(&w->wq, 0);
	ret = ret * 100 + bpf_wq_init(&w->wq, &works, 1);
	ret = ret * 100 + bpf_wq_init(&w->wq, &works, 0);
	ret = ret * 100 + bpf_wq_set_callback_impl(&w->wq, run, 0, NULL);
	return ret * 100 + bpf_wq_start(&w->wq, 0);
}

SEC("syscall") int cpus(void *ctx)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();
	int seen;

	if (!mask)
		return -1;
	seen = bpf_cpumask_weight((const struct cpumask *)mask);
	bpf_cpumask_set_cpu(0, mask);
	seen = seen * 10 + bpf_cpumask_weight((const struct cpumask *)mask);
	bpf_cpumask_release(mask);
	return seen;
}
