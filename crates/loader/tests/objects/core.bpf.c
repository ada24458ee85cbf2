// CO-RE relocations of every kind, present and absent, with flavours.
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
enum { BPF_F_CURRENT_CPU = -1 };
struct pt_regs;
#define __VMLINUX_H__
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define KEEP __attribute__((preserve_access_index))

struct list_head { struct list_head *next, *prev; } KEEP;
struct mm_struct { struct { unsigned long start_code; }; } KEEP;
struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct task_struct *real_parent;
	struct list_head children;
	struct mm_struct *mm;
	unsigned in_execve : 1;
	unsigned sched_migrated : 1;
	int no_such_field;
	unsigned long nvcsw;
} KEEP;
struct task_struct___old { long state; int pid; } KEEP;
struct task_struct___new { unsigned int __state; } KEEP;
struct sk_buff {
	unsigned char cloned : 1;
	unsigned char pkt_type : 3;
	__u32 hash;
	unsigned int len, data_len;
	__u16 vlan_tci;
} KEEP;
struct no_such_struct { int x; } KEEP;
struct file___short { int f_flags; } KEEP;
struct qstr { union { struct { __u32 hash; __u32 len; }; __u64 hash_len; }; } KEEP;
struct thread_struct { long no_such; } KEEP;
struct rq_flags_wrong_size { int x; };
/* Loads of a pointer and of an integer whose sizes differ in the kernel. */
struct cred { struct user_struct *user; __u64 securebits; int jit_keyring; } KEEP;
struct inode { __u64 i_mode; __u32 i_ino; } KEEP;
typedef struct { int counter; } atomic_t;
typedef struct { int other; } no_such_typedef_t;
typedef int (*initcall_t)(void);
union thread_union { struct task_struct *x; };
enum bpf_map_type { BPF_MAP_TYPE_HASH = 77, BPF_MAP_TYPE_NO_SUCH = 78 };
enum bpf_map_type___flavour { BPF_MAP_TYPE_ARRAY___flavour = 99 };
enum no_such_enum { NO_SUCH_VALUE = 5 };
enum pid_type { PIDTYPE_PID, PIDTYPE_TGID };

long out[64];

SEC("raw_tp/fields") int fields(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct sk_buff *skb = ctx;
	struct qstr *name = ctx;
	int i = 0;

	out[i++] = BPF_CORE_READ(task, real_parent, tgid);
	out[i++] = BPF_CORE_READ(task, mm, start_code);
	out[i++] = BPF_CORE_READ(task, children.next, prev) != 0;
	out[i++] = BPF_CORE_READ(name, len);
	out[i++] = __builtin_preserve_field_info(task->comm[3], 0);
	out[i++] = bpf_core_field_size(task->comm);
	out[i++] = bpf_core_field_exists(task->no_such_field);
	out[i++] = bpf_core_field_exists(task->nvcsw);
	out[i++] = bpf_core_field_offset(task->comm);
	out[i++] = __builtin_preserve_field_info(task->pid, BPF_FIELD_SIGNED);
	out[i++] = __builtin_preserve_field_info(skb->hash, BPF_FIELD_SIGNED);
	out[i++] = BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
	out[i++] = BPF_CORE_READ_BITFIELD_PROBED(task, sched_migrated);
	out[i++] = BPF_CORE_READ_BITFIELD_PROBED(skb, pkt_type);
	out[i++] = BPF_CORE_READ_BITFIELD_PROBED(skb, cloned);
	return 0;
}

SEC("tp_btf/sched_switch") int direct(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[1];
	struct cred *cred = (void *)ctx[2];
	struct inode *inode = (void *)ctx[1];
	int i = 20;

	out[i++] = task->pid + task->comm[5];
	out[i++] = task->mm->start_code;
	out[i++] = cred->user != 0;
	out[i++] = inode->i_mode;
	out[i++] = inode->i_ino;
	return 0;
}

SEC("raw_tp/absent") int absent(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct___old *old = (void *)task;
	struct task_struct___new *new = (void *)task;
	struct no_such_struct *none = ctx;
	struct cred *cred = ctx;
	int i = 30;

	if (bpf_core_field_exists(new->__state))
		out[i++] = BPF_CORE_READ(new, __state);
	else
		out[i++] = BPF_CORE_READ(old, state);
	if (bpf_core_field_exists(none->x))
		out[i++] = BPF_CORE_READ(none, x);
	out[i++] = task->no_such_field;
	out[i++] = none->x;
	out[i++] = bpf_core_field_size(none->x);
	out[i++] = cred->jit_keyring;
	return 0;
}

SEC("raw_tp/types") int types(void *ctx)
{
	int i = 40;

	out[i++] = bpf_core_type_exists(struct task_struct);
	out[i++] = bpf_core_type_exists(struct no_such_struct);
	out[i++] = bpf_core_type_exists(struct file___short);
	out[i++] = bpf_core_type_exists(atomic_t);
	out[i++] = bpf_core_type_exists(no_such_typedef_t);
	out[i++] = bpf_core_type_exists(initcall_t);
	out[i++] = bpf_core_type_size(struct task_struct);
	out[i++] = bpf_core_type_size(struct no_such_struct);
	out[i++] = bpf_core_type_size(union thread_union);
	out[i++] = bpf_core_type_id_local(struct task_struct);
	out[i++] = bpf_core_type_id_local(struct rq_flags_wrong_size);
	out[i++] = bpf_core_type_id_kernel(struct task_struct);
	out[i++] = bpf_core_type_id_kernel(struct no_such_struct);
	return 0;
}

#ifndef bpf_core_type_matches
#define bpf_core_type_matches(type) \
	__builtin_preserve_type_info(*(typeof(type) *)0, 2)
#endif

SEC("raw_tp/matches") int matches(void *ctx)
{
	int i = 0;

	out[i++] = bpf_core_type_matches(struct list_head);
	out[i++] = bpf_core_type_matches(struct task_struct);
	out[i++] = bpf_core_type_matches(struct qstr);
	out[i++] = bpf_core_type_matches(atomic_t);
	out[i++] = bpf_core_type_matches(enum pid_type);
	out[i++] = bpf_core_type_matches(enum bpf_map_type);
	out[i++] = bpf_core_type_matches(struct no_such_struct);
	out[i++] = bpf_core_type_matches(initcall_t);
	out[i++] = bpf_core_type_matches(union thread_union);
	return 0;
}

SEC("raw_tp/enums") int enums(void *ctx)
{
	int i = 56;

	out[i++] = bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_HASH);
	out[i++] = bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_NO_SUCH);
	out[i++] = bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_HASH);
	out[i++] = bpf_core_enum_value(enum bpf_map_type___flavour, BPF_MAP_TYPE_ARRAY___flavour);
	out[i++] = bpf_core_enum_value_exists(enum no_such_enum, NO_SUCH_VALUE);
	if (ctx)
		out[i++] = bpf_core_enum_value(enum bpf_map_type, BPF_MAP_TYPE_NO_SUCH);
	return 0;
}
char _license[] SEC("license") = "GPL";
