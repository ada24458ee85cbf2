#include "common.h"

SEC("syscall") int itself(void *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	struct task_struct *task = bpf_task_from_pid(id);
	u64 seen;

	if (!task)
		return -1;
	seen = task->pid == (u32)id;
	seen = seen * 2 + (task->tgid == id >> 32);
	seen = seen * 2 + (task->group_leader->pid == id >> 32);
	seen = seen * 2 + (task->real_parent->pid != 0);
	bpf_task_release(task);
	return seen;
}

SEC("syscall") int current(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf(), *held;
	u64 id = bpf_get_current_pid_tgid();
	u64 seen = task->pid == (u32)id;

	held = bpf_task_acquire(task);
	if (held) {
		seen = seen * 2 + (held == task) + (held->comm[0] == task->comm[0]);
		bpf_task_release(held);
	}
	return seen;
}

SEC("syscall") int nobody(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(-1);

	if (task)
		bpf_task_release(task);
	return !task;
}

SEC("syscall") int found(void *ctx)
{
	struct task_struct *pos;
	struct bpf_iter_task it;
	u32 own = bpf_get_current_pid_tgid() >> 32;
	u32 seen = 0;

	bpf_rcu_read_lock();
	bpf_iter_task_new(&it, NULL, 0);
	while ((pos = bpf_iter_task_next(&it)))
		if (pos->pid == own || !pos->pid)
			seen++;
	bpf_iter_task_destroy(&it);
	bpf_rcu_read_unlock();
	return seen;
}

SEC("syscall") int groups(void *ctx)
{
	struct cgroup *group = bpf_cgroup_from_id(bpf_get_current_cgroup_id()), *root;
	struct task_struct *task = bpf_get_current_task_btf();
	u64 seen;

	if (!group)
		return -1;
	seen = group->kn->id == bpf_get_current_cgroup_id();
	seen = seen * 2 + bpf_task_under_cgroup(task, group);
	root = bpf_cgroup_ancestor(group, 0);
	if (root) {
		seen = seen * 10 + root->kn->id;
		seen = seen * 2 + bpf_task_under_cgroup(task, root);
		bpf_cgroup_release(root);
	}
	seen = seen * 10 + group->level;
	root = bpf_cgroup_ancestor(group, 77);
	if (root)
		bpf_cgroup_release(root);
	seen = seen * 2 + !root;
	bpf_cgroup_release(group);
	return seen;
}

SEC("syscall") int upwards(void *ctx)
{
	struct cgroup *group = bpf_cgroup_from_id(bpf_get_current_cgroup_id());
	struct cgroup_subsys_state *pos;
	struct bpf_iter_css it;
	u64 seen = 0;

	if (!group)
		return -1;
	bpf_rcu_read_lock();
	if (!bpf_iter_css_new(&it, &group->self, 4 /* ancestors */))
		while ((pos = bpf_iter_css_next(&it)))
			seen = seen * 3 + pos->cgroup->level + 1;
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	bpf_cgroup_release(group);
	return seen;
}

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} stored SEC(".maps");

SEC("syscall") int storage(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 first = 5, seen, *value;

	seen = !bpf_task_storage_get(&stored, task, NULL, 0);
	value = bpf_task_storage_get(&stored, task, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!value)
		return -1;
	seen = seen * 10 + *value;
	*value = 8;
	value = bpf_task_storage_get(&stored, task, NULL, 0);
	if (value)
		seen = seen * 10 + *value;
	seen = seen * 100 + bpf_task_storage_delete(&stored, task);
	seen = seen * 100 + -bpf_task_storage_delete(&stored, task);
	return seen;
}

// Groups below the root's first levels: each is one deeper than some group before it.
SEC("syscall") int downwards(void *ctx)
{
	struct cgroup *group = bpf_cgroup_from_id(1);
	struct cgroup_subsys_state *pos;
	struct bpf_iter_css it;
	u64 seen = 0, deepest = 0;

	if (!group)
		return -1;
	bpf_rcu_read_lock();
	if (!bpf_iter_css_new(&it, &group->self, 2 /* parents first */)) {
		while ((pos = bpf_iter_css_next(&it))) {
			u64 level = pos->cgroup->level;

			if (level > deepest + 1)
				seen += 100;
			deepest = level;
		}
	}
	bpf_iter_css_destroy(&it);
	seen += bpf_iter_css_new(&it, &group->self, 9) == -22;
	bpf_iter_css_destroy(&it);
	bpf_rcu_read_unlock();
	bpf_cgroup_release(group);
	return seen;
}
