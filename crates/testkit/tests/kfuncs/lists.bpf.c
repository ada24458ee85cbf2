#include "common.h"

struct elem {
	struct bpf_list_node node;
	__u64 value;
};

struct queue {
	struct bpf_spin_lock lock;
	struct bpf_list_head head __contains(elem, node);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct queue);
} queues SEC(".maps");

static int push(struct queue *q, __u64 value, bool front)
{
	struct elem *e = bpf_obj_new(struct elem);
	int ret;

	if (!e)
		return -1;
	e->value = value;
	bpf_spin_lock(&q->lock);
	if (front)
		ret = bpf_list_push_front(&q->head, &e->node);
	else
		ret = bpf_list_push_back(&q->head, &e->node);
	bpf_spin_unlock(&q->lock);
	return ret;
}

static __u64 pop(struct queue *q, bool front)
{
	struct bpf_list_node *n;
	struct elem *e;
	__u64 value;

	bpf_spin_lock(&q->lock);
	n = front ? bpf_list_pop_front(&q->head) : bpf_list_pop_back(&q->head);
	bpf_spin_unlock(&q->lock);
	if (!n)
		return 99;
	e = container_of(n, struct elem, node);
	value = e->value;
	bpf_obj_drop(e);
	return value;
}

// 2 1 3 4; taken from both ends.
SEC("syscall") int both_ends(void *ctx)
{
	int key = 0;
	struct queue *q = bpf_map_lookup_elem(&queues, &key);
	__u64 seen = 0;

	if (!q || push(q, 1, true) || push(q, 2, true) || push(q, 3, false) || push(q, 4, false))
		return -1;
	seen = pop(q, true);
	seen = seen * 100 + pop(q, false);
	seen = seen * 100 + pop(q, false);
	seen = seen * 100 + pop(q, true);
	return seen * 2 + (pop(q, true) == 99);
}

// What is left in a list goes when its map does.
SEC("syscall") int left_behind(void *ctx)
{
	int key = 0, n;
	struct queue *q = bpf_map_lookup_elem(&queues, &key);

	if (!q)
		return -1;
	for (n = 0; n < 10; n++)
		if (push(q, n, false))
			return -2;
	return 10;
}

SEC("syscall") int looked_at(void *ctx)
{
	int key = 0;
	struct queue *q = bpf_map_lookup_elem(&queues, &key);
	struct bpf_list_node *n;
	__u64 seen = 0;

	if (!q || push(q, 5, false) || push(q, 6, false))
		return -1;
	bpf_spin_lock(&q->lock);
	n = bpf_list_front(&q->head);
	if (n)
		seen = container_of(n, struct elem, node)->value;
	n = bpf_list_back(&q->head);
	if (n)
		seen = seen * 10 + container_of(n, struct elem, node)->value;
	bpf_spin_unlock(&q->lock);
	return seen;
}
