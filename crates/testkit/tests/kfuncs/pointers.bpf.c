#include "common.h"

struct own {
	__u64 a, b;
};

struct percpu {
	__u64 count;
};

struct holder {
	struct own __kptr *own;
	struct percpu __percpu_kptr *percpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct holder);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, struct holder);
} hash SEC(".maps");

static int put(struct holder *h, __u64 a)
{
	struct own *new = bpf_obj_new(struct own), *old;
	int was = 0;

	if (!new)
		return -1;
	was = new->a + new->b;
	new->a = a;
	old = bpf_kptr_xchg(&h->own, new);
	if (old) {
		was += old->a;
		bpf_obj_drop(old);
	}
	return was;
}

SEC("syscall") int exchanged(void *ctx)
{
	int key = 0;
	struct holder *h = bpf_map_lookup_elem(&array, &key);
	struct own *own;
	__u64 seen;

	if (!h)
		return -1;
	seen = put(h, 3) * 100 + put(h, 4) * 10;
	own = bpf_kptr_xchg(&h->own, NULL);
	if (own) {
		seen += own->a;
		bpf_obj_drop(own);
	}
	return seen * 10 + (h->own == NULL);
}

// An update leaves no pointer behind; nor does deletion.
SEC("syscall") int replaced(void *ctx)
{
	struct holder empty = {}, *h;
	int key = 1, seen = 0;

	if (bpf_map_update_elem(&hash, &key, &empty, BPF_ANY))
		return -1;
	h = bpf_map_lookup_elem(&hash, &key);
	if (!h || put(h, 5))
		return -2;
	if (bpf_map_update_elem(&hash, &key, &empty, BPF_EXIST))
		return -3;
	h = bpf_map_lookup_elem(&hash, &key);
	if (!h)
		return -4;
	seen = h->own == NULL;
	put(h, 6);
	bpf_map_delete_elem(&hash, &key);
	if (bpf_map_update_elem(&hash, &key, &empty, BPF_ANY))
		return -5;
	h = bpf_map_lookup_elem(&hash, &key);
	return h ? seen * 2 + (h->own == NULL) : -6;
}


SEC("syscall") int copies(void *ctx)
{
	int key = 0;
	struct holder *h = bpf_map_lookup_elem(&array, &key);
	struct percpu __percpu_kptr *p, *old;
	struct percpu *here;
	__u64 seen = 0;

	if (!h)
		return -1;
	p = bpf_percpu_obj_new(struct percpu);
	if (!p)
		return -2;
	old = bpf_kptr_xchg(&h->percpu, p);
	if (old)
		bpf_percpu_obj_drop(old);
	bpf_rcu_read_lock();
	p = h->percpu;
	if (p) {
		here = bpf_per_cpu_ptr(p, 0);
		if (here)
			here->count = 41;
		here = bpf_per_cpu_ptr(p, 0);
		if (here)
			seen = here->count;
		here = bpf_per_cpu_ptr(p, 100000);
		seen = seen * 10 + !here;
	}
	bpf_rcu_read_unlock();
	return seen;
}
