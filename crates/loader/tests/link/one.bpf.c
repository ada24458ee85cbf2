// Half of an object: uses what two.bpf.c defines.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct shared_key { int a; int b; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct shared_key);
	__type(value, long);
} map_of_one SEC(".maps");

#ifndef WITHOUT_MAP
/* A declaration of the other's map. */
extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, long);
} map_of_two SEC(".maps");
#endif

extern int LINUX_KERNEL_VERSION __kconfig;
extern int variable_of_two;
extern int function_of_two(int a);

int variable_of_one = 5;
const volatile int setting_of_one = 9;
static int private_counter;
static char padding[3] = { 1, 2, 3 };

static __attribute__((noinline)) int same_name(int a) { return a + private_counter + padding[a & 1]; }
__attribute__((noinline)) int function_of_one(int a) { return same_name(a) + variable_of_two; }
__weak __attribute__((noinline)) int replaced(int a) { return a + 100; }
__weak __attribute__((noinline)) int kept(int a) { return a + 200; }

static int each_of_one(__u32 index, void *ctx) { private_counter += index; return 0; }

SEC("xdp") int entry_of_one(struct xdp_md *ctx)
{
	struct shared_key key = { 1, 2 };
	int zero = 0;
	long *value = bpf_map_lookup_elem(&map_of_one, &key);
#ifndef WITHOUT_MAP
	long *other = bpf_map_lookup_elem(&map_of_two, &zero);
#else
	long *other = 0;
#endif

	bpf_loop(3, each_of_one, &key, 0);
	variable_of_one++;
	private_counter++;
	return function_of_two(ctx->data) + same_name(2) + replaced(1) + kept(1) + setting_of_one +
	       (value ? *value : 0) + (other ? *other : 0) + LINUX_KERNEL_VERSION;
}
char _license[] SEC("license") = "GPL";
