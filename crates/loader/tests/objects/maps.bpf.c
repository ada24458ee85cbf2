// Maps of every form of definition.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct key { int a; long b; };
struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 7);
	__type(key, int);
	__type(value, struct key);
	__uint(map_flags, BPF_F_MMAPABLE);
};
struct inner first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, int);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [1] = &first, [3] = &second } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 9);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer_hash SEC(".maps") = { .values = { &second } };

int tail_b(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 5);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [2] = (void *)&tail_b } };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, struct key);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE);
	__uint(numa_node, 1);
} a_rather_long_map_name SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 3);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__type(value, __u32);
	__uint(max_entries, 1000);
	__uint(map_extra, 5);
} bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct key);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(key_size, sizeof(long));
	__uint(value_size, 24);
	__uint(max_entries, 64);
} untyped SEC(".maps");

int data_int = 5;
int data_more[3] = { 1, 2, 3 };
long bss_long;
const volatile int setting = 77;
int custom_data SEC(".data.custom") = 9;
const int custom_rodata SEC(".rodata.custom_and_long_name") = 10;
int custom_bss SEC(".bss.own");
static __u64 private_counter;

SEC("xdp") int tail_a(struct xdp_md *ctx)
{
	int zero = 0;
	struct key *value = bpf_map_lookup_elem(&first, &zero);
	struct key key = {};
	const char *text[] = { "one", "two", "three" };

	bpf_printk("text %s %d", text[bss_long & 1], setting);
	__sync_fetch_and_add(&private_counter, 1);
	data_more[1] += custom_data + custom_rodata + data_int;
	custom_bss++;
	bpf_map_lookup_elem(&outer, &zero);
	bpf_map_lookup_elem(&outer_hash, &zero);
	bpf_map_update_elem(&a_rather_long_map_name, &key, &private_counter, 0);
	bpf_map_lookup_elem(&untyped, &key);
	bpf_map_push_elem(&bloom, &zero, 0);
	bpf_ringbuf_output(&ring, &key, sizeof(key), 0);
	bpf_perf_event_output(ctx, &events, 0, &key, sizeof(key));
	bpf_tail_call(ctx, &jumps, 2);
	return value ? value->a : data_more[2];
}
SEC("xdp") int tail_b(struct xdp_md *ctx) { return 2; }
char _license[] SEC("license") = "GPL";
