// A program with an exception callback, which only a tag in BTF refers to.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym;

__attribute__((noinline)) int catches(__u64 cookie) { return cookie + 1; }
__attribute__((noinline)) int other(__u64 cookie) { return cookie + 2; }

SEC("tc") __attribute__((btf_decl_tag("exception_callback:catches"))) int throws(struct __sk_buff *skb)
{
	if (skb->len > 100)
		bpf_throw(skb->len);
	return other(skb->len);
}
SEC("tc") int plain(struct __sk_buff *skb) { return catches(skb->len); }
char _license[] SEC("license") = "GPL";
