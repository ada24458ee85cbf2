/* A list in an arena, and accesses where nothing is. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 pages, int node,
				    __u64 flags) __ksym __weak;
void bpf_arena_free_pages(void *map, void __arena *addr, __u32 pages) __ksym __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4);
#ifdef FAR
	__ulong(map_extra, 0x1ull << 44);
#endif
} pages SEC(".maps");

struct node {
	struct node __arena *next;
	int value;
	short narrow;
};

struct results {
	__u64 allocated, first_is_user, sum, narrow, atomic, nothing, freed, fifth;
};

struct results results;

SEC("syscall")
int use_arena(void *ctx)
{
	struct node __arena *head = 0, *node;
	char __arena *page = bpf_arena_alloc_pages(&pages, 0, 1, -1, 0);
	__u64 sum = 0;
	int i;

	if (!page)
		return 1;
	results.allocated = 1;
	for (i = 0; i < 10; i++) {
		node = (struct node __arena *)(page + i * sizeof(*node));
		node->next = head;
		node->value = i * i;
		node->narrow = -i;
		head = node;
	}
	results.first_is_user = (__u64)head->next - (__u64)page;
	for (node = head; node && sum < 1000; node = node->next) {
		sum += node->value;
		results.narrow += node->narrow;
	}
	results.sum = sum;
	/* Beyond the pages: lost, and zero. */
	*(volatile long __arena *)(page + (1 << 20)) = 7;
	results.nothing = *(volatile long __arena *)(page + (1 << 20));
	results.fifth = (__u64)bpf_arena_alloc_pages(&pages, 0, 4, -1, 0);
	bpf_arena_free_pages(&pages, page, 1);
	page = bpf_arena_alloc_pages(&pages, 0, 1, -1, 0);
	if (!page)
		return 2;
	results.freed = *(volatile long __arena *)(page + 8);
	return 0;
}

SEC("syscall")
int add_atomically(void *ctx)
{
	long __arena *page = bpf_arena_alloc_pages(&pages, 0, 1, -1, 0);

	if (!page)
		return 1;
	__sync_fetch_and_add(page, 5);
	results.atomic = __sync_fetch_and_add(page, 2);
	bpf_arena_free_pages(&pages, page, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
