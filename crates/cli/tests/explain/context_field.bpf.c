// Mistake: skb->len cannot be written.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int prog(struct __sk_buff *skb)
{
	skb->len = 5; // fault
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
