// What the benchmark of networks sends and receives: flood, tcp-server, tcp-client.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define PIECE (1 << 18)

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int tell(const char *file, double value)
{
	FILE *out = fopen(file, "w");
	if (!out) return 1;
	fprintf(out, "%f", value);
	return fclose(out);
}

// Frames of 60 bytes out of an interface, as many as it takes: frames a second.
static int flood(const char *file, const char *dev, double seconds)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(dev) };
	unsigned char frame[60] = { 2, 0, 10, 0, 0, 1, 2, 0, 10, 0, 0, 2, 8, 0, 0x45, 0, 0, 46 };
	struct iovec part = { frame, sizeof(frame) };
	struct mmsghdr messages[BATCH] = { 0 };
	long sent = 0;
	memcpy(frame + 22, (unsigned char[]){ 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 0, 9, 0, 9, 0, 26 }, 18);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	if (bind(fd, (void *)&to, sizeof(to))) return perror("bind"), 1;
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &part;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	double begin = now(), end;
	while ((end = now()) < begin + seconds)
		for (int i = 0; i < 16; i++) {
			int got = sendmmsg(fd, messages, BATCH, 0);
			if (got > 0) sent += got;
		}
	return tell(file, sent / (end - begin));
}

static int server(int port)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	static char buffer[PIECE];
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&at, sizeof(at)) || listen(fd, 16)) return perror("listen"), 1;
	for (;;) {
		int from = accept(fd, NULL, NULL);
		while (recv(from, buffer, sizeof(buffer), MSG_TRUNC) > 0) {}
		send(from, "!", 1, 0);
		close(from);
	}
}

// As much as goes in the time: bits a second, until the last byte was read over there.
static int client(const char *file, const char *host, int port, double seconds)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	static char buffer[PIECE];
	double sent = 0;
	int fd = -1;
	inet_pton(AF_INET, host, &to.sin_addr);
	for (int i = 0; i < 500; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (!connect(fd, (void *)&to, sizeof(to))) break;
		close(fd);
		fd = -1;
		usleep(10000);
	}
	if (fd < 0) return fprintf(stderr, "no server\n"), 1;
	double begin = now();
	while (now() < begin + seconds) {
		ssize_t got = send(fd, buffer, sizeof(buffer), 0);
		if (got < 0) return perror("send"), 1;
		sent += got;
	}
	shutdown(fd, SHUT_WR);
	if (recv(fd, buffer, 1, 0) != 1) return perror("recv"), 1;
	return tell(file, sent * 8 / (now() - begin));
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "flood")) return flood(argv[2], argv[3], atof(argv[4]));
	if (argc == 3 && !strcmp(argv[1], "tcp-server")) return server(atoi(argv[2]));
	if (argc == 6 && !strcmp(argv[1], "tcp-client"))
		return client(argv[2], argv[3], atoi(argv[4]), atof(argv[5]));
	return 2;
}
