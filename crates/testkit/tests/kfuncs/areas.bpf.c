#include "common.h"

struct seen {
	u64 start, end, flags;
	u32 pid;
};

static long look(struct task_struct *task, struct vm_area_struct *vma, struct seen *seen)
{
	seen->start = vma->vm_start;
	seen->end = vma->vm_end;
	seen->flags = vma->vm_flags & 7;
	seen->pid = task->pid;
	return 0;
}


SEC("syscall") int nowhere(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct seen seen = {};
	int none = bpf_find_vma(task, 1, look, &seen, 0);
	int flags = bpf_find_vma(task, 1, look, &seen, 1);

	return -none * 100 - flags + !!seen.pid;
}

// The first area of the task, found again by an address in it.
SEC("syscall") int here(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_iter_task_vma it;
	struct vm_area_struct *vma;
	struct seen seen = {};
	u64 start = 0, end = 0;
	int found;

	bpf_iter_task_vma_new(&it, task, 0);
	vma = bpf_iter_task_vma_next(&it);
	if (vma) {
		start = vma->vm_start;
		end = vma->vm_end;
	}
	bpf_iter_task_vma_destroy(&it);
	found = bpf_find_vma(task, start + 8, look, &seen, 0);
	return (found == 0) * 1000 + (seen.start == start) * 100 + (seen.end == end) * 10 +
	       (seen.pid == (u32)bpf_get_current_pid_tgid());
}

// Areas come in order and do not overlap.
SEC("syscall") int in_order(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_iter_task_vma it;
	struct vm_area_struct *vma;
	u64 before = 0;
	int n = 0, wrong = 0;

	bpf_iter_task_vma_new(&it, task, 0);
	while ((vma = bpf_iter_task_vma_next(&it))) {
		if (vma->vm_start < before)
			wrong++;
		before = vma->vm_end;
		if (n++ > 500)
			break;
	}
	bpf_iter_task_vma_destroy(&it);
	return wrong * 10 + (n > 3);
}
