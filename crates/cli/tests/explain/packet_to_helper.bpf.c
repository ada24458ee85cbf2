// Mistake: a helper that does not take packet pointers.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int prog(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	if (data + 16 > data_end)
		return 0;
	return bpf_skb_load_bytes(skb, 0, data, 16); // fault
}

char LICENSE[] SEC("license") = "GPL";
