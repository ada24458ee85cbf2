#!/bin/sh
# Makes the captures of this folder anew: real traffic between two network namespaces joined by a
# veth pair. Needs root, and ip, ethtool, tcpdump, ping, curl, python3, dnsmasq and dig.
#
# Addresses are those of RFC 5737 and RFC 3849, names those of RFC 6761; nothing reaches a real
# interface. Offloads are off, so packets have the sizes and checksums they have on a wire.
set -eu
cd "$(dirname "$0")"

client=ring3-client-$$
server=ring3-server-$$
work=$(mktemp -d)
started=

stop() {
    for pid in $started; do kill "$pid" 2>/dev/null || true; done
    ip netns del "$client" 2>/dev/null || true
    ip netns del "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

on_client() { ip netns exec "$client" "$@"; }

ip netns add "$client"
ip netns add "$server"
ip -n "$client" link add veth0 address 02:00:00:00:00:01 type veth \
    peer name veth0 address 02:00:00:00:00:02 netns "$server"
for ns in "$client" "$server"; do
    ip netns exec "$ns" ethtool -K veth0 tx off rx off tso off gso off gro off >/dev/null
    ip -n "$ns" link set lo up
    ip -n "$ns" link set veth0 up
done
# The first address is the usual one; the others stand for other clients, and for the service of
# the load balancer.
for last in 1 11 12 13 66; do ip -n "$client" addr add 192.0.2.$last/24 dev veth0; done
for last in 2 80; do ip -n "$server" addr add 192.0.2.$last/24 dev veth0; done
ip -n "$client" addr add 2001:db8::1/64 dev veth0 nodad
ip -n "$server" addr add 2001:db8::2/64 dev veth0 nodad

ip netns exec "$server" python3 serve.py 0.0.0.0 & started="$started $!"
ip netns exec "$server" dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
    --pid-file="$work/dnsmasq" --user=root --listen-address=192.0.2.2 --bind-interfaces \
    --address=/www.example/192.0.2.2 & started="$started $!"
sleep 3

# capture FILE MAX TRAFFIC [TCPDUMP-OPTION...]: the server's view of what TRAFFIC does.
capture() {
    file=$1 max=$2 traffic=$3
    shift 3
    ip netns exec "$server" tcpdump -i veth0 -U -Z root -c "$max" -w "$work/$file" "$@" 2>/dev/null &
    dump=$!
    started="$started $dump"
    sleep 1
    $traffic
    sleep 1
    kill -INT "$dump" 2>/dev/null || true
    wait "$dump" || true
    mv "$work/$file" "$file"
    chmod 644 "$file"
}

fetch() { on_client curl -s -A example -o /dev/null "$@"; }
lookup() { on_client dig +nocookie +tries=1 +short @192.0.2.2 "$@" >/dev/null; }
echo_request() { on_client ping -q -c "$1" -i 0.05 "$2" >/dev/null; }

web() {
    echo_request 5 192.0.2.2
    for _ in 1 2 3 4 5 6 7 8; do
        lookup www.example A
        fetch http://192.0.2.2/
        fetch http://192.0.2.2/long
    done
}

protocols() {
    ip -n "$client" neigh flush dev veth0
    echo_request 20 192.0.2.2
    echo_request 10 2001:db8::2
    for name in www.example a.example b.example; do
        lookup "$name" A
        lookup "$name" AAAA
    done
    for _ in 1 2 3 4; do fetch http://192.0.2.2/; done
}

firewall() {
    for from in 1 11 12 13 66; do
        on_client ping -q -c 10 -i 0.05 -I 192.0.2.$from 192.0.2.2 >/dev/null
        fetch --interface 192.0.2.$from http://192.0.2.2/
        lookup -b 192.0.2.$from www.example A
    done
}

balancer() {
    for from in 1 11 12 13; do
        for _ in 1 2 3 4; do fetch --interface 192.0.2.$from http://192.0.2.80/; done
    done
    echo_request 3 192.0.2.2
}

capture web.pcap 1000 web
capture protocols.pcap 1000 protocols
capture firewall.pcap 1000 firewall -Q in
capture balancer.pcap 1000 balancer -Q in
