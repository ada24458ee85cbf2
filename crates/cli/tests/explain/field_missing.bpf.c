// Mistake: the kernel's struct has no such field.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct___mine {
	int favourite_colour;
} __attribute__((preserve_access_index));

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct___mine *task = (void *)bpf_get_current_task(); // fault
	int colour;

	bpf_probe_read_kernel(&colour, sizeof(colour), &task->favourite_colour);
	return colour;
}

char LICENSE[] SEC("license") = "GPL";
