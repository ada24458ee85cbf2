// Configuration values and kernel symbols.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig __weak;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig __weak;
extern bool LINUX_HAS_NO_SUCH_THING __kconfig __weak;
extern bool CONFIG_BPF_SYSCALL __kconfig __weak;
extern enum libbpf_tristate CONFIG_IPV6 __kconfig __weak;
extern int CONFIG_HZ __kconfig __weak;
extern unsigned long long CONFIG_NR_CPUS __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[10] __kconfig __weak;
extern char CONFIG_NET __kconfig __weak;
extern short CONFIG_NO_SUCH_OPTION __kconfig __weak;

extern const void init_task __ksym __weak;
extern const void no_such_symbol __ksym __weak;
extern const int bpf_prog_active __ksym __weak;
extern const int no_such_variable __ksym __weak;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;
extern void bpf_no_such_kfunc(int) __ksym __weak;
extern void bpf_rcu_read_lock___flavour(void) __ksym __weak;

SEC("tc") int config(struct __sk_buff *skb)
{
	int sum = LINUX_KERNEL_VERSION + LINUX_HAS_BPF_COOKIE + LINUX_HAS_SYSCALL_WRAPPER;

	sum += LINUX_HAS_NO_SUCH_THING + CONFIG_BPF_SYSCALL + CONFIG_IPV6 + CONFIG_HZ;
	return sum + CONFIG_NR_CPUS + CONFIG_DEFAULT_HOSTNAME[1] + CONFIG_NET + CONFIG_NO_SUCH_OPTION;
}

SEC("raw_tp/sys_enter") int symbols(void *ctx)
{
	long sum = (long)&init_task + (long)&no_such_symbol + (long)&bpf_prog_active;

	if (bpf_rcu_read_lock) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
	}
	if (bpf_no_such_kfunc)
		bpf_no_such_kfunc(1);
	bpf_rcu_read_lock___flavour();
	return sum + (long)&no_such_variable;
}
char _license[] SEC("license") = "GPL";
