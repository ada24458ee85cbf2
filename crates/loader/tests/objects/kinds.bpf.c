/* Every kind of BTF that some kernel lacks. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum wide { WIDE_ONE = 0x100000000ull, WIDE_TWO = 2 };
enum below { BELOW = -1, ABOVE = 1 };

struct holder {
	float single;
	double twice;
	enum wide wide;
	enum below below;
	int __attribute__((btf_type_tag("user"))) *tagged;
	int declared __attribute__((btf_decl_tag("member")));
};

struct holder held __attribute__((btf_decl_tag("variable")));
static volatile int counted SEC(".data.own");
const volatile unsigned char flag = 1;

__attribute__((noinline)) int visible(int a)
{
	return a + counted;
}

static __attribute__((noinline)) long hidden(struct holder *from)
{
	return from->wide == WIDE_ONE ? from->below : flag;
}

SEC("socket")
int all_kinds(struct __sk_buff *skb)
{
	held.declared = visible(skb->len);
	return hidden(&held) + (held.tagged != 0);
}

char _license[] SEC("license") = "GPL";
