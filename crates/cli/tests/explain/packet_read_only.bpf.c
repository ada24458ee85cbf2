// Mistake: LWT input programs only read.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("lwt_in")
int prog(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data;
	__u8 *data_end = (void *)(long)skb->data_end;

	if (data + 1 > data_end)
		return 0;
	*data = 1; // fault
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
