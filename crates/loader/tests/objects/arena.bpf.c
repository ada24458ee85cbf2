// Globals that live in an arena.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 100);
} arena SEC(".maps");

int __arena shared[10] SEC(".addr_space.1") = { 1, 2, 3 };
long __arena counter SEC(".addr_space.1");
int plain;

SEC("syscall") int globals(void *ctx)
{
	shared[3] += plain;
	counter++;
	bpf_map_lookup_elem(&arena, &plain);
	return shared[1];
}
char _license[] SEC("license") = "GPL";
