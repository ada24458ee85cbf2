//! Programs of `sockops`: a client and its server under ring3, and in a control group of the
//! running kernel with the same program.

use ring3::live::Ended;

use crate::sockets::{Group, compile, numbers};
use crate::support::{bpf, ready, run, tempdir};

const PROGRAM: &str = r#"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct record { __u32 w[8]; } records[128];
__u32 count;
SEC("sockops") int ops(struct bpf_sock_ops *s)
{
	struct record *r = &records[count & 127];
	__u32 server = bpf_ntohl(s->remote_port) == 7301, listener = s->local_port == 7301;
	if (!server && !listener)
		return 1;
	if (s->op == BPF_SOCK_OPS_TCP_CONNECT_CB || s->op == BPF_SOCK_OPS_TCP_LISTEN_CB)
		bpf_sock_ops_cb_flags_set(s, BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG);
	if (s->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		int one = 1, size = 0;
		bpf_setsockopt(s, 6, 1, &one, sizeof(one));
		bpf_getsockopt(s, 1, 3, &size, sizeof(size));
		s->reply = size;
	}
	r->w[0] = s->op;
	r->w[1] = server ? 1 : 2;
	r->w[2] = s->op == BPF_SOCK_OPS_STATE_CB ? s->args[0] : 0;
	r->w[3] = s->op == BPF_SOCK_OPS_STATE_CB ? s->args[1] : 0;
	r->w[4] = s->family;
	r->w[5] = s->remote_ip4;
	r->w[6] = s->op == BPF_SOCK_OPS_STATE_CB ? 0 : s->state;
	r->w[7] = s->bpf_sock_ops_cb_flags;
	count++;
	return 1;
}
char LICENSE[] SEC("license") = "GPL";
"#;

/// A server and its clients, blocking and not; its status tells what programs have set.
const CLIENT: &str = r#"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
static void *serve(void *arg)
{
	char buf[64];
	for (int i = 0; i < 2; i++) {
		int c = accept((long)arg, 0, 0);
		send(c, "hello", 5, 0);
		while (recv(c, buf, sizeof(buf), 0) > 0) {}
		usleep(30000);
		close(c);
	}
	return 0;
}
int main(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7301), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int l = socket(AF_INET, SOCK_STREAM, 0), one = 1, delay = 0, status = 0;
	socklen_t len = sizeof(delay);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l, (void *)&a, sizeof(a)) || listen(l, 8)) return 1;
	pthread_t t;
	pthread_create(&t, 0, serve, (void *)(long)l);
	for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
		int s = socket(AF_INET, SOCK_STREAM, 0);
		char buf[64];
		if (nonblocking) fcntl(s, F_SETFL, O_NONBLOCK);
		if (connect(s, (void *)&a, sizeof(a)) && errno != EINPROGRESS) return 2;
		fcntl(s, F_SETFL, 0);
		recv(s, buf, sizeof(buf), 0);
		usleep(30000);
		getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &delay, &len);
		status += delay ? 20 : 0;
		send(s, "bye", 3, 0);
		shutdown(s, SHUT_WR);
		while (recv(s, buf, sizeof(buf), 0) > 0) {}
		close(s);
	}
	pthread_join(t, 0);
	close(l);
	return status + 3;
}
"#;

/// Records of one side in order, without those that only one of the two can see: questions that
/// come before a connection, states after the last call, and how often round trips are measured.
fn side(words: &[u32], side: u32) -> Vec<[u32; 8]> {
    const SEEN_BY_CALLS: [u32; 6] = [1, 2, 3, 7, 8, 10];
    let (records, count) = words.split_at(words.len() - 1);
    let records = records.chunks(8).take(count[0] as usize);
    let records = records.map(|r| <[u32; 8]>::try_from(r).expect("eight words"));
    let kept = records.filter(|r| {
        let state = r[0] == 10 && SEEN_BY_CALLS.contains(&r[2]);
        r[1] == side && (state || [3, 4, 5, 11].contains(&r[0]))
    });
    kept.collect()
}

#[test]
fn connections_are_told_as_in_a_control_group() {
    if !ready(&["gcc", "clang-19"]) {
        return;
    }
    let dir = tempdir();
    let (source, client) = (dir.join("client.c"), dir.join("client"));
    std::fs::write(&source, CLIENT).expect("written");
    let done = std::process::Command::new("gcc")
        .args(["-O1", "-pthread", "-o"])
        .args([&client, &source])
        .status();
    assert!(done.is_ok_and(|status| status.success()), "gcc");
    let client = client.display().to_string();
    let object = bpf(&dir, PROGRAM);
    // A network of its own: the ports are free there.
    let command =
        ["unshare", "-rn", "sh", "-c", "ip link set lo up; exec timeout 20 \"$0\"", &client];
    let seen = run(object, &[], &command);
    let (_, variables) = seen.maps.iter().find(|(n, _)| n.ends_with(".bss")).expect("variables");
    let mut ours = Vec::new();
    numbers(&variables[0]["value"], &mut ours);
    assert_eq!(seen.ended, Ended::Exited(43), "{ours:?}");
    let rtt = ours.chunks(8).filter(|record| record[0] == 12).count();
    assert!(rtt > 0, "{ours:?}");
    let client_side: Vec<u32> = side(&ours, 1).iter().map(|record| record[0]).collect();
    assert!(client_side.starts_with(&[3, 10, 4]), "{client_side:?}");
    match Group::new(&compile(&dir), &[("ops", "sock_ops")]) {
        Some(group) => {
            assert_eq!(group.run(&command), Some(43));
            let theirs = group.words("ops");
            // Which side's thread is first is nobody's word.
            assert_eq!(side(&ours, 1), side(&theirs, 1));
            assert_eq!(side(&ours, 2), side(&theirs, 2));
        }
        None => eprintln!("skipped: the same in a control group (root, bpftool, cgroup2, bpffs)"),
    }
    let _ = std::fs::remove_dir_all(&dir);
}
