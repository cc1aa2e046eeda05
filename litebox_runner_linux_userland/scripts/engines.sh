#!/usr/bin/env bash
# What engines do with `litebox oci`: podman and containerd, as far as they are installed. Root only.
#   engines.sh LITEBOX          one line a scenario; status 1 when one is not as it should be
set -euo pipefail

[ "$#" -eq 1 ] && [ -x "$1" ] || { echo "engines.sh: engines.sh LITEBOX" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "skipped: engines: not root"; exit 0; }
command -v busybox >/dev/null || { echo "skipped: engines: busybox is not installed"; exit 0; }

bed=$(mktemp -d /tmp/litebox-engines.XXXXXX)
daemon=
failed=0
finish() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    if [ -d "$bed/store" ]; then podman_ rm -fa >/dev/null 2>&1 || true; fi
    rm -rf --one-file-system "$bed" 2>/dev/null || true
}
trap finish EXIT
runtime=$bed/litebox-oci
cp "$1" "$runtime"

# A root that is busybox and nothing else.
mkdir -p "$bed"/root/{bin,etc,proc,sys,dev,tmp,root,var}
cp "$(command -v busybox)" "$bed/root/bin/busybox"
busybox --list | while read -r applet; do
    [ "$applet" = busybox ] || ln -s busybox "$bed/root/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\njoe:x:1000:1000::/tmp:/bin/sh\n' >"$bed/root/etc/passwd"
printf 'root:x:0:\njoe:x:1000:\n' >"$bed/root/etc/group"
tar -C "$bed/root" -cf "$bed/root.tar" .

podman_() {
    timeout 60 podman --root "$bed/store" --runroot "$bed/run" --cgroup-manager cgroupfs --runtime "$runtime" "$@"
}
ctr_() { timeout 60 ctr -a "$bed/containerd.sock" "$@"; }

# is NAME STATUS TEXT COMMAND...: the command ends so, and prints that.
is() {
    local name=$1 status=$2 text=$3 out got=0
    shift 3
    out=$("$@" 2>"$bed/errors") || got=$?
    if [ "$got" = "$status" ] && [ "$out" = "$text" ]; then
        echo "ok: $name"
    else
        echo "FAILED: $name: status $got, not $status; printed:"
        printf '%s\n--- and not\n%s\n--- errors\n' "$out" "$text"
        head -5 "$bed/errors"
        failed=1
    fi
}

# Waits until a command succeeds.
until_() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 0
        sleep 0.05
    done
}

with_podman() {
    local none=(run --rm --network none) web
    podman_ import "$bed/root.tar" box:1 >/dev/null 2>&1
    is 'podman run: status' 3 hi podman_ "${none[@]}" box:1 sh -c 'echo hi; exit 3'
    is 'podman run: who and where' 0 $'1000\nA=b\n/tmp\nbox' \
        podman_ "${none[@]}" -u joe -e A=b -w /tmp --hostname box box:1 sh -c 'id -u; env | grep ^A=; pwd; hostname'
    is 'podman run -i' 0 typed podman_ "${none[@]}" -i box:1 cat <<<typed
    is 'podman run -v' 0 $'box:1\nro' podman_ "${none[@]}" -v "$bed:/host:ro" box:1 \
        sh -c 'test -e /host/root.tar && echo box:1; touch /host/x 2>/dev/null || echo ro'
    is 'podman run -t' 0 $'/dev/pts/0\r' podman_ "${none[@]}" -t box:1 tty
    is 'podman run: limits' 0 57344 podman_ "${none[@]}" --memory 64m box:1 sh -c 'grep -o "[0-9]*" /proc/meminfo | head -1'
    podman_ run -d --name one --network none --health-cmd 'test -e /made' box:1 \
        sh -c 'echo started; touch /made; trap "echo bye; exit 5" TERM; while :; do sleep 0.05; done' >/dev/null 2>&1 || true
    until_ podman_ exec one test -e /made
    is 'podman exec' 4 in podman_ exec one sh -c 'echo in; exit 4'
    is 'podman logs' 0 started podman_ logs one
    is 'podman diff' 0 $'A /made\nC /etc' bash -c "$(declare -f podman_); bed=$bed runtime=$runtime; podman_ diff one | sort"
    is 'podman healthcheck' 0 '' podman_ healthcheck run one
    is 'podman pause' 0 paused bash -c "$(declare -f podman_); bed=$bed runtime=$runtime
        podman_ pause one >/dev/null; podman_ inspect one --format '{{.State.Status}}'; podman_ unpause one >/dev/null"
    echo copied >"$bed/copied"
    podman_ cp "$bed/copied" one:/tmp/copied >/dev/null 2>&1 || true
    is 'podman cp in' 0 copied podman_ exec one cat /tmp/copied
    podman_ cp one:/etc/passwd "$bed/passwd" >/dev/null 2>&1 || true
    is 'podman cp out' 0 '' cmp "$bed/passwd" "$bed/root/etc/passwd"
    podman_ commit -q one box:2 >/dev/null 2>&1 || true
    is 'podman commit' 0 /made podman_ "${none[@]}" box:2 ls /made
    is 'podman stop' 0 one podman_ stop -t 5 one
    is 'podman wait' 0 5 podman_ wait one
    if podman_ run -d --name web box:1 sh -c 'mkdir /w; echo page > /w/index.html; exec httpd -f -p 80 -h /w' \
        >/dev/null 2>"$bed/errors"; then
        web=$(podman_ inspect web --format '{{.NetworkSettings.IPAddress}}')
        until_ busybox wget -q -O - "http://$web/"
        is 'podman network: in' 0 page busybox wget -q -O - "http://$web/"
        is 'podman network: between' 0 page podman_ run --rm box:1 wget -q -O - "http://$web/"
    else
        echo "skipped: podman network: $(tail -1 "$bed/errors")"
    fi
    # One that ignores the signal is killed.
    is 'podman rm -f' 0 0 bash -c "$(declare -f podman_); bed=$bed runtime=$runtime
        podman_ rm -t 0 -fa >/dev/null; podman_ ps -aq | wc -l"
}

with_containerd() {
    local image=localhost/box:1 run=(run --rm --runc-binary "$runtime")
    cat >"$bed/containerd.toml" <<TOML
version = 2
root = "$bed/containerd"
state = "$bed/containerd.state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$bed/containerd.sock"
TOML
    containerd -c "$bed/containerd.toml" >"$bed/containerd.log" 2>&1 &
    daemon=$!
    until_ ctr_ version
    podman_ save -q --format oci-archive -o "$bed/box.oci" box:1 >/dev/null 2>&1
    ctr_ image import --index-name "$image" "$bed/box.oci" >/dev/null 2>&1 || true
    image=$(ctr_ image ls -q | head -1)
    is 'ctr run: status' 3 hi ctr_ "${run[@]}" "$image" one sh -c 'echo hi; exit 3'
    ctr_ run -d --runc-binary "$runtime" "$image" two sh -c 'exec sleep 1000' >/dev/null 2>&1 || true
    is 'ctr exec' 4 in ctr_ task exec --exec-id e two sh -c 'echo in; exit 4'
    status_of_two() { ctr_ task ls | awk '$1 == "two" { print $3 }'; }
    is 'ctr task: running' 0 RUNNING status_of_two
    ctr_ task pause two || true
    is 'ctr task: paused' 0 PAUSED status_of_two
    ctr_ task resume two || true
    is 'ctr task: metrics' 0 pids.current bash -c "timeout 60 ctr -a $bed/containerd.sock task metrics two | grep -o pids.current"
    ctr_ task kill -s KILL two || true
    stopped() { [ "$(status_of_two)" = STOPPED ]; }
    until_ stopped
    is 'ctr task: stopped' 0 STOPPED status_of_two
    ctr_ task rm two >/dev/null 2>&1 || true
    is 'ctr delete' 0 '' ctr_ container rm two
    ctr_ image rm "$image" >/dev/null 2>&1 || true
}

if ! command -v podman >/dev/null; then
    echo "skipped: engines: podman is not installed"
    exit 0
fi
with_podman
if command -v containerd >/dev/null && command -v ctr >/dev/null; then
    with_containerd
else
    echo "skipped: engines: containerd is not installed"
fi
exit "$failed"
