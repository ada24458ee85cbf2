#!/bin/sh
# The anatomy of an eBPF program, step by step: an object is compiled, looked at, loaded, attached
# to an interface, watched, and taken away again. Nothing here needs root or a kernel of its own.
#
#   examples/book/chapter3.sh [PATH OF ring3]
#
# It keeps to itself: a daemon and a bpffs of its own in a folder that is removed at the end.
set -eu

ring3=${1:-ring3}
examples=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
XDG_RUNTIME_DIR=$work
export XDG_RUNTIME_DIR
cd "$work"
trap '"$ring3" daemon stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

# Shows a command as the reader types it, then what it prints.
step() {
    echo "\$ $*" | sed "s|$examples|examples|g"
    shift
    "$ring3" "$@"
    echo
}

step ring3 compile "$examples/hello.bpf.c" -o hello.bpf.o
echo "\$ ring3 elf hello.bpf.o | grep -E 'BITS .* (xdp|license|[.]bss|[.]rodata)\$'"
"$ring3" elf hello.bpf.o | grep -E 'BITS .* (xdp|license|[.]bss|[.]rodata)$'
echo
step ring3 prog load hello.bpf.o /sys/fs/bpf/hello
step ring3 fs ls
step ring3 prog list
step ring3 prog show pinned /sys/fs/bpf/hello --pretty
step ring3 prog dump xlated pinned /sys/fs/bpf/hello
step ring3 prog dump jited pinned /sys/fs/bpf/hello
step ring3 net dev add r0 --pcap "$examples/captures/web.pcap"
step ring3 net attach xdp pinned /sys/fs/bpf/hello dev r0
step ring3 net list

# The capture is played once, from when the first program is attached.
tries=0
until "$ring3" net dev list | grep -q ended || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
step ring3 net dev list
echo '$ ring3 fs cat trace_pipe | head -3'
{ timeout 2 "$ring3" fs cat trace_pipe || true; } 2>/dev/null | head -3
echo
step ring3 map list
step ring3 map dump name hello.bss
step ring3 net detach xdp dev r0
step ring3 net list
step ring3 net dev del r0
step ring3 fs rm /sys/fs/bpf/hello
step ring3 prog list
