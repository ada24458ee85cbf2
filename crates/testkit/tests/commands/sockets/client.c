#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
static FILE *out;
#define SAY(...) (fprintf(out, __VA_ARGS__), fflush(out))
static int tell(const char *what, long r) { SAY("%s %ld %s\n", what, r < 0 ? -1 : 0, r < 0 ? strerror(errno) : "ok"); return r; }
static struct sockaddr_in v4(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}
static struct sockaddr_in6 v6(const char *ip, int port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	inet_pton(AF_INET6, ip, &a.sin6_addr);
	return a;
}
static void name(const char *what, void *address)
{
	char text[64];
	struct sockaddr_in *a = address;
	struct sockaddr_in6 *b = address;
	int port = ntohs(a->sin_port);
	inet_ntop(a->sin_family, a->sin_family == AF_INET ? (void *)&a->sin_addr : (void *)&b->sin6_addr, text, sizeof(text));
	SAY("%s %s %s\n", what, text, port >= 30000 ? "any" : port == 7001 ? "7001" : port == 7002 ? "7002" : port == 8001 ? "8001" : port == 8002 ? "8002" : port == 9001 ? "9001" : port == 9002 ? "9002" : "other");
}
static void *serve(void *arg)
{
	int s = (long)arg;
	for (int i = 0; i < 4; i++) {
		int c = accept(s, 0, 0);
		send(c, "hello", 5, 0);
		close(c);
	}
	return 0;
}
static void to(int family, void *a, int len, const char *what)
{
	int s = socket(family, SOCK_STREAM, 0);
	char buf[16] = "";
	if (tell(what, connect(s, a, len)) == 0) {
		struct sockaddr_in6 peer;
		socklen_t size = sizeof(peer);
		recv(s, buf, sizeof(buf), 0);
		tell(buf, getpeername(s, (void *)&peer, &size));
		name("peer", &peer);
		int prio = 0;
		size = sizeof(prio);
		tell("priority", getsockopt(s, SOL_SOCKET, SO_PRIORITY, &prio, &size));
		SAY("priority is %d\n", prio);
	}
	close(s);
}
int main(int argc, char **argv)
{
	alarm(10);
	out = fopen(argv[1], "w");
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return 2;
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	tell("up", ioctl(s, SIOCSIFFLAGS, &up));
	close(s);
	struct sockaddr_in a = v4("127.0.0.1", 7002);
	struct sockaddr_in6 b = v6("::1", 7002);
	int l4 = socket(AF_INET, SOCK_STREAM, 0), l6 = socket(AF_INET6, SOCK_STREAM, 0);
	int one = 1;
	tell("v6only", setsockopt(l6, IPPROTO_IPV6, IPV6_V6ONLY, &one, 4));
	tell("bind l4", bind(l4, (void *)&a, sizeof(a)));
	tell("bind l6", bind(l6, (void *)&b, sizeof(b)));
	listen(l4, 9);
	listen(l6, 9);
	pthread_t t4, t6;
	pthread_create(&t4, 0, serve, (void *)(long)l4);
	pthread_create(&t6, 0, serve, (void *)(long)l6);
	a = v4("127.0.0.1", 7001);
	to(AF_INET, &a, sizeof(a), "connect 7001");
	a = v4("10.9.9.9", 7001);
	to(AF_INET, &a, sizeof(a), "connect elsewhere");
	a = v4("127.0.0.1", 7004);
	to(AF_INET, &a, sizeof(a), "connect 7004");
	a = v4("127.0.0.1", 7005);
	to(AF_INET, &a, sizeof(a), "connect 7005");
	a = v4("127.0.0.1", 7009);
	to(AF_INET, &a, sizeof(a), "connect to nobody");
	b = v6("::1", 7001);
	to(AF_INET6, &b, sizeof(b), "connect 7001 by v6");
	/* binds */
	struct sockaddr_in6 got;
	socklen_t size = sizeof(got);
	int u = socket(AF_INET, SOCK_DGRAM, 0);
	a = v4("127.0.0.1", 8004);
	tell("bind 8004", bind(u, (void *)&a, sizeof(a)));
	a = v4("127.0.0.1", 8001);
	tell("bind 8001", bind(u, (void *)&a, sizeof(a)));
	tell("name", getsockname(u, (void *)&got, &size));
	name("is", &got);
	tell("bind again", bind(u, (void *)&a, sizeof(a)));
	close(u);
	u = socket(AF_INET, SOCK_STREAM, 0);
	a = v4("127.0.0.1", 8005);
	tell("bind 8005", bind(u, (void *)&a, sizeof(a)));
	close(u);
	u = socket(AF_INET6, SOCK_DGRAM, 0);
	b = v6("::1", 8001);
	tell("bind6 8001", bind(u, (void *)&b, sizeof(b)));
	size = sizeof(got);
	tell("name6", getsockname(u, (void *)&got, &size));
	close(u);
	/* datagrams */
	int r = socket(AF_INET, SOCK_DGRAM, 0);
	a = v4("127.0.0.1", 9002);
	tell("bind 9002", bind(r, (void *)&a, sizeof(a)));
	u = socket(AF_INET, SOCK_DGRAM, 0);
	a = v4("127.0.0.1", 9100);
	tell("bind 9100", bind(u, (void *)&a, sizeof(a)));
	a = v4("127.0.0.1", 9001);
	tell("sendto", sendto(u, "abc", 3, 0, (void *)&a, sizeof(a)));
	char buf[64] = "";
	size = sizeof(got);
	ssize_t n = recvfrom(r, buf, sizeof(buf), 0, (void *)&got, &size);
	SAY("received %zd %s\n", n, buf);
	n = sendto(r, "back", 4, 0, (void *)&got, size);
	tell("back", n);
	struct iovec pieces[2] = { { buf, 2 }, { buf + 2, 20 } };
	struct sockaddr_in from = { 0 };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = pieces, .msg_iovlen = 2 };
	n = recvmsg(u, &m, 0);
	SAY("received %zd %.4s\n", n, buf);
	name("from", &from);
	a = v4("127.0.0.1", 9004);
	tell("sendto 9004", sendto(u, "abc", 3, 0, (void *)&a, sizeof(a)));
	a = v4("127.0.0.1", 9001);
	m.msg_name = &a;
	m.msg_namelen = sizeof(a);
	struct iovec two[2] = { { "in ", 3 }, { "pieces", 6 } };
	m.msg_iov = two;
	tell("sendmsg", sendmsg(u, &m, 0));
	n = recv(r, buf, sizeof(buf), 0);
	SAY("received %zd %.9s\n", n, buf);
	struct mmsghdr many[3] = { { .msg_hdr = m }, { .msg_hdr = m }, { .msg_hdr = m } };
	n = sendmmsg(u, many, 3, 0);
	SAY("sendmmsg %zd %u %u\n", n, many[0].msg_len, many[2].msg_len);
	tell("connect udp", connect(u, (void *)&a, sizeof(a)));
	tell("send", send(u, "x", 1, 0));
	tell("bad address", connect(u, (void *)1, sizeof(a)));
	tell("short address", connect(u, (void *)&a, 3));
	close(u);
	u = socket(AF_INET6, SOCK_DGRAM, 0);
	b = v6("::ffff:127.0.0.1", 9001);
	tell("sendto mapped", sendto(u, "abc", 3, 0, (void *)&b, sizeof(b)));
	b = v6("::1", 9001);
	tell("sendto v6", sendto(u, "abc", 3, 0, (void *)&b, sizeof(b)));
	close(u);
	/* options */
	u = socket(AF_INET, SOCK_STREAM, 0);
	int value = 0x10;
	tell("tos", setsockopt(u, IPPROTO_IP, IP_TOS, &value, sizeof(value)));
	size = sizeof(value);
	tell("tos?", getsockopt(u, IPPROTO_IP, IP_TOS, &value, &size));
	SAY("tos %d %u\n", value, size);
	value = 1;
	tell("keep", setsockopt(u, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof(value)));
	tell("own", setsockopt(u, SOL_SOCKET, 0x1234, &value, sizeof(value)));
	char large[16] = "";
	size = sizeof(large);
	tell("own?", getsockopt(u, SOL_SOCKET, 0x1234, large, &size));
	SAY("own %d %u\n", *(int *)large, size);
	size = sizeof(value);
	tell("buffer?", getsockopt(u, SOL_SOCKET, SO_RCVBUF, &value, &size));
	tell("unknown?", getsockopt(u, SOL_SOCKET, 0x4321, &value, &size));
	close(u);
	tell("raw", socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
	tell("nonsense", socket(AF_INET, SOCK_STREAM, 99));
	/* files */
	int f = open("/dev/null", O_WRONLY);
	tell("null", f);
	tell("zero", open("/dev/zero", O_RDWR));
	tell("full", open("/dev/full", O_RDONLY));
	f = open("/proc/sys/kernel/ostype", O_RDONLY);
	n = read(f, buf, 3);
	SAY("ostype %zd %.3s\n", n, buf);
	n = read(f, buf, 9);
	f = open("/proc/sys/net/ipv4/ip_forward", O_RDWR);
	tell("forward", write(f, "0\n", 2));
	fclose(out);
	return 7;
}
