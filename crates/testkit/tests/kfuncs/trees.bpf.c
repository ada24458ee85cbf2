#include "common.h"

struct elem {
	struct bpf_refcount count;
	struct bpf_rb_node node;
	struct bpf_list_node link;
	__u64 key;
};

struct place {
	struct bpf_spin_lock lock;
	struct bpf_rb_root root __contains(elem, node);
	struct bpf_list_head head __contains(elem, link);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct place);
} places SEC(".maps");

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct elem, node)->key < container_of(b, struct elem, node)->key;
}

static int add(struct place *p, __u64 key)
{
	struct elem *e = bpf_obj_new(struct elem);
	int ret;

	if (!e)
		return -1;
	e->key = key;
	bpf_spin_lock(&p->lock);
	ret = bpf_rbtree_add(&p->root, &e->node, less);
	bpf_spin_unlock(&p->lock);
	return ret;
}

static __u64 take_first(struct place *p)
{
	struct bpf_rb_node *n;
	struct elem *e;
	__u64 key;

	bpf_spin_lock(&p->lock);
	n = bpf_rbtree_first(&p->root);
	if (n)
		n = bpf_rbtree_remove(&p->root, n);
	bpf_spin_unlock(&p->lock);
	if (!n)
		return 0;
	e = container_of(n, struct elem, node);
	key = e->key;
	bpf_obj_drop(e);
	return key;
}

SEC("syscall") int in_order(void *ctx)
{
	int key = 0, n;
	struct place *p = bpf_map_lookup_elem(&places, &key);
	__u64 seen = 0, dice = 12345, before = 0;

	if (!p)
		return -1;
	for (n = 0; n < 64; n++) {
		dice = dice * 1103515245 + 12345;
		if (add(p, 1 + (dice >> 16 & 1023)))
			return -2;
	}
	for (n = 0; n < 64; n++) {
		__u64 key = take_first(p);

		if (key < before)
			return -3;
		before = key;
		seen = seen * 31 + key;
	}
	return (__u32)seen & 0x7fffffff;
}

// The shape of the tree shows in what lies at the top.
SEC("syscall") int shape(void *ctx)
{
	int key = 0, n;
	struct place *p = bpf_map_lookup_elem(&places, &key);
	struct bpf_rb_node *top, *below;
	__u64 seen = 0;

	if (!p)
		return -1;
	for (n = 1; n <= 20; n++)
		if (add(p, n * 7 % 23))
			return -2;
	take_first(p);
	take_first(p);
	bpf_spin_lock(&p->lock);
	top = bpf_rbtree_root(&p->root);
	if (top) {
		seen = container_of(top, struct elem, node)->key;
		below = bpf_rbtree_left(&p->root, top);
		if (below)
			seen = seen * 100 + container_of(below, struct elem, node)->key;
		below = bpf_rbtree_right(&p->root, top);
		if (below)
			seen = seen * 100 + container_of(below, struct elem, node)->key;
	}
	bpf_spin_unlock(&p->lock);
	for (n = 0; n < 20; n++)
		take_first(p);
	return seen;
}

// One object in a tree and in a list; a node that is linked is not linked again.
SEC("syscall") int in_both(void *ctx)
{
	int key = 0, ret;
	struct place *p = bpf_map_lookup_elem(&places, &key);
	struct elem *e, *same, *again;
	struct bpf_list_node *n;
	__u64 seen;

	if (!p)
		return -1;
	e = bpf_obj_new(struct elem);
	if (!e)
		return -2;
	e->key = 77;
	same = bpf_refcount_acquire(e);
	if (!same) {
		bpf_obj_drop(e);
		return -3;
	}
	again = bpf_refcount_acquire(e);
	if (!again) {
		bpf_obj_drop(e);
		bpf_obj_drop(same);
		return -4;
	}
	bpf_spin_lock(&p->lock);
	ret = bpf_rbtree_add(&p->root, &e->node, less);
	ret = ret * 1000 + bpf_list_push_front(&p->head, &same->link);
	ret = ret * 1000 + bpf_list_push_front(&p->head, &again->link);
	n = bpf_list_pop_back(&p->head);
	bpf_spin_unlock(&p->lock);
	seen = take_first(p);
	if (n) {
		e = container_of(n, struct elem, link);
		seen = seen * 100 + e->key;
		bpf_obj_drop(e);
	}
	return seen * 100 - ret;
}
