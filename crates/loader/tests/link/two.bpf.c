// The other half.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, int);
	__type(value, long);
} map_of_two SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, int);
};
struct inner inner_map SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, int);
	__array(values, struct inner);
} outer_map SEC(".maps") = { .values = { [1] = &inner_map } };

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig __weak;
extern int function_of_one(int a);

char offset_by_one = 1;
int variable_of_two = 7;
static long private_counter = 3;
const volatile char name_of_two[] = "two";

static __attribute__((noinline)) int same_name(int a) { return a * 3 + private_counter; }
__attribute__((noinline)) int function_of_two(int a) { return same_name(a) + offset_by_one; }
__attribute__((noinline)) int replaced(int a) { return same_name(a) + 1000; }
__weak __attribute__((noinline)) int kept(int a) { return a + 300; }

static int each_of_two(__u32 index, void *ctx) { private_counter -= index; return 0; }

SEC("tc") int entry_of_two(struct __sk_buff *skb)
{
	int zero = 0;

	bpf_loop(3, each_of_two, &zero, 0);
	bpf_map_lookup_elem(&outer_map, &zero);
	bpf_printk("two %d", name_of_two[1]);
	return function_of_one(skb->len) + variable_of_two + LINUX_KERNEL_VERSION + LINUX_HAS_BPF_COOKIE;
}
SEC("xdp") int second_xdp(struct xdp_md *ctx) { return same_name(ctx->data) + replaced(3); }
char _license[] SEC("license") = "GPL";
