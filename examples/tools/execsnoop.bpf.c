// Programs that a command runs: who, by whom, with which arguments.
//
//   ring3 trace execsnoop -- sh -c 'date; uname -r'
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define ARGS 384

struct event {
	u32 pid;
	u32 ppid;
	u32 uid;
	char comm[16];
	char args[ARGS];
};
const struct event *unused __attribute__((unused)); // keeps the type

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

SEC("tp_btf/sched_process_exec")
int exec(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	unsigned long start, len;

	if (!event)
		return 0;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->uid = bpf_get_current_uid_gid();
	event->ppid = BPF_CORE_READ(task, real_parent, tgid);
	bpf_get_current_comm(event->comm, sizeof(event->comm));

	// The arguments lie one behind the other, each with its zero.
	start = BPF_CORE_READ(task, mm, arg_start);
	len = BPF_CORE_READ(task, mm, arg_end) - start;
	if (len > ARGS - 1)
		len = ARGS - 1;
	if (bpf_probe_read_user(event->args, len, (void *)start) < 0)
		len = 0;
	for (int i = 0; i < ARGS; i++) {
		if (i + 1 >= len)
			event->args[i] = 0;
		else if (!event->args[i])
			event->args[i] = ' ';
	}
	bpf_ringbuf_submit(event, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
