#!/bin/sh
# A network of four hosts: a client, a load balancer and two back ends. curl reaches both back ends
# through the balancer. No root, nothing stays.
set -eu
ring3=${RING3:-ring3}
here=$(dirname "$0")
work=$(mktemp -d)
pin=/sys/fs/bpf/balancer.$$
object=$work/balancer.o

"$ring3" net up shop client balancer one two
trap '"$ring3" net down shop; "$ring3" fs rm "$pin" 2>/dev/null || true; rm -r "$work"' EXIT

"$ring3" compile "$here/balancer.bpf.c" -o "$object"
"$ring3" prog load "$object" "$pin"
"$ring3" net attach xdp pinned "$pin" dev balancer/eth0
"$ring3" net list

for name in one two; do
	mkdir "$work/$name"
	echo "$name" >"$work/$name/who"
	"$ring3" net exec "$name" -- python3 -m http.server -d "$work/$name" 80 >"$work/$name.log" 2>&1 &
	until "$ring3" net exec client -- curl -s -m 5 -o /dev/null "http://$name/who"; do sleep 0.1; done
done

# Routes and neighbours for bpf_fib_lookup, as on any host that sends packets on.
"$ring3" net exec balancer -- sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; ping -qc1 one; ping -qc1 two' >/dev/null

for i in 1 2 3 4 5 6 7 8; do
	"$ring3" net exec client -- curl -s -m 5 http://balancer/who
done | sort | uniq -c

"$ring3" map dump name connections
