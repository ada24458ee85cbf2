// Mistake: bpf_skb_pull_data moves the packet.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int prog(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;

	if (data + 4 > data_end)
		return 0;
	bpf_skb_pull_data(skb, 64);
	return *(__u32 *)data; // fault
}

char LICENSE[] SEC("license") = "GPL";
