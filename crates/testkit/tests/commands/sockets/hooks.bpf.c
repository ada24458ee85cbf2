#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#define N 96
struct rec { __u32 hook, f[15]; };
struct rec recs[N];
__u32 count;
static __always_inline struct rec *add(__u32 hook)
{
	__u32 i = count;
	if (i >= N)
		return 0;
	count = i + 1;
	recs[i].hook = hook;
	return &recs[i];
}
static __always_inline void addr4(__u32 hook, struct bpf_sock_addr *c, int msg)
{
	struct rec *r = add(hook);
	if (!r)
		return;
	r->f[0] = c->user_family;
	r->f[1] = c->user_ip4;
	r->f[2] = c->user_port;
	r->f[3] = c->family;
	r->f[4] = c->type;
	r->f[5] = c->protocol;
	if (msg)
		r->f[6] = c->msg_src_ip4;
	struct bpf_sock *sk = c->sk;
	if (sk) {
		r->f[7] = sk->state;
		r->f[8] = sk->dst_ip4;
		r->f[9] = sk->dst_port;
		r->f[10] = sk->type;
	}
}
static __always_inline void addr6(__u32 hook, struct bpf_sock_addr *c)
{
	struct rec *r = add(hook);
	if (!r)
		return;
	r->f[0] = c->user_family;
	r->f[1] = c->user_ip6[0];
	r->f[2] = c->user_ip6[1];
	r->f[3] = c->user_ip6[2];
	r->f[4] = c->user_ip6[3];
	r->f[5] = c->user_port;
	r->f[6] = c->family;
	r->f[7] = c->type;
	r->f[8] = c->protocol;
}
#define TO(c, a, b) if ((c)->user_port == bpf_htons(a)) (c)->user_port = bpf_htons(b)
SEC("cgroup/connect4") int c4(struct bpf_sock_addr *c)
{
	addr4(1, c, 0);
	if (c->user_port == bpf_htons(7004))
		return 0;
	if (c->user_port == bpf_htons(7005)) {
		bpf_set_retval(-113);
		return 0;
	}
	if (c->user_ip4 == bpf_htonl(0x0a090909))
		c->user_ip4 = bpf_htonl(0x7f000001);
	TO(c, 7001, 7002);
	return 1;
}
SEC("cgroup/connect6") int c6(struct bpf_sock_addr *c) { addr6(2, c); TO(c, 7001, 7002); return 1; }
SEC("cgroup/bind4") int b4(struct bpf_sock_addr *c)
{
	addr4(3, c, 0);
	if (c->user_port == bpf_htons(8004))
		return 0;
	TO(c, 8001, 8002);
	return 1;
}
SEC("cgroup/bind6") int b6(struct bpf_sock_addr *c) { addr6(4, c); TO(c, 8001, 8003); return 1; }
SEC("cgroup/post_bind4") int pb4(struct bpf_sock *c)
{
	struct rec *r = add(5);
	if (r) {
		r->f[0] = c->src_ip4; r->f[1] = c->src_port; r->f[2] = c->family;
		r->f[3] = c->type; r->f[4] = c->protocol;
	}
	return c->src_port != 8005;
}
SEC("cgroup/post_bind6") int pb6(struct bpf_sock *c)
{
	struct rec *r = add(6);
	if (r) {
		r->f[0] = c->src_ip6[3]; r->f[1] = c->src_port; r->f[2] = c->family;
		r->f[3] = c->type; r->f[4] = c->protocol;
	}
	return 1;
}
SEC("cgroup/sendmsg4") int s4(struct bpf_sock_addr *c)
{
	addr4(7, c, 1);
	if (c->user_port == bpf_htons(9004))
		return 0;
	TO(c, 9001, 9002);
	return 1;
}
SEC("cgroup/sendmsg6") int s6(struct bpf_sock_addr *c) { addr6(8, c); TO(c, 9001, 9002); return 1; }
SEC("cgroup/recvmsg4") int r4(struct bpf_sock_addr *c) { addr4(9, c, 0); TO(c, 9002, 9001); return 1; }
SEC("cgroup/recvmsg6") int r6(struct bpf_sock_addr *c) { addr6(10, c); TO(c, 9002, 9001); return 1; }
SEC("cgroup/getpeername4") int gp4(struct bpf_sock_addr *c) { addr4(11, c, 0); TO(c, 7002, 7001); return 1; }
SEC("cgroup/getpeername6") int gp6(struct bpf_sock_addr *c) { addr6(12, c); TO(c, 7002, 7001); return 1; }
SEC("cgroup/getsockname4") int gs4(struct bpf_sock_addr *c) { addr4(13, c, 0); TO(c, 8002, 8001); return 1; }
SEC("cgroup/getsockname6") int gs6(struct bpf_sock_addr *c) { addr6(14, c); return 1; }
SEC("cgroup/sock_create") int sc(struct bpf_sock *c)
{
	struct rec *r = add(15);
	if (r) {
		r->f[0] = c->family; r->f[1] = c->type; r->f[2] = c->protocol;
		r->f[3] = c->mark; r->f[4] = c->priority; r->f[5] = c->bound_dev_if;
		
	}
	if (c->protocol == 58)
		return 0;
	c->priority = 3;
	return 1;
}
SEC("cgroup/setsockopt") int so(struct bpf_sockopt *c)
{
	struct rec *r = add(16);
	__u8 *v = c->optval;
	if (r) {
		r->f[0] = c->level; r->f[1] = c->optname; r->f[2] = c->optlen;
		if ((void *)(v + 4) <= c->optval_end)
			r->f[3] = *(__u32 *)v;
	}
	if (c->level == 0 && c->optname == 1) { /* IP_TOS: another one */
		if ((void *)(v + 1) <= c->optval_end)
			v[0] = 0x28;
	}
	if (c->level == 1 && c->optname == 9) /* SO_KEEPALIVE: not at all */
		return 0;
	if (c->level == 1 && c->optname == 0x1234)
		c->optlen = -1;
	return 1;
}
SEC("cgroup/getsockopt") int go(struct bpf_sockopt *c)
{
	struct rec *r = add(17);
	__u8 *v = c->optval;
	if (r) {
		r->f[0] = c->level; r->f[1] = c->optname; r->f[2] = c->optlen; r->f[3] = c->retval;
		if ((void *)(v + 4) <= c->optval_end)
			r->f[4] = *(__u32 *)v;
	}
	if (c->level == 1 && c->optname == 0x1234) {
		c->retval = 0;
		if ((void *)(v + 4) <= c->optval_end)
			*(__u32 *)v = 4711;
		c->optlen = 4;
	}
	if (c->level == 1 && c->optname == 8) /* SO_RCVBUF */
		return 0;
	return 1;
}
SEC("cgroup/dev") int dv(struct bpf_cgroup_dev_ctx *c)
{
	struct rec *r = add(18);
	if (r) { r->f[0] = c->access_type; r->f[1] = c->major; r->f[2] = c->minor; }
	return !(c->major == 1 && c->minor == 7);
}
SEC("cgroup/sysctl") int sy(struct bpf_sysctl *c)
{
	struct rec *r = add(19);
	if (r) { r->f[0] = c->write; r->f[1] = c->file_pos; }
	return !c->write;
}
char LICENSE[] SEC("license") = "GPL";
