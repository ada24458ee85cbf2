// Mistake: kernel memory is read directly.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task {
	long state;
};

SEC("raw_tp/sys_enter")
int prog(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *task = (void *)bpf_get_current_task();

	return task->state; // fault
}

char LICENSE[] SEC("license") = "GPL";
