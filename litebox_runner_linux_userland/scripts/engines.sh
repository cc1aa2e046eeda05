#!/usr/bin/env bash
# What engines do with `litebox oci`: podman, containerd, and a pod by crictl (CRI), as far as they are installed. Root
# only.
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
    kill "$daemon"
    wait "$daemon" 2>/dev/null || true
    daemon=
}

# A pod of two containers that talk over 127.0.0.1, by the interface that Kubernetes uses.
cri() {
    local socket=unix://$bed/cri.sock
    timeout 60 crictl --config "$bed/crictl.yaml" -r "$socket" -i "$socket" "$@"
}
# A container of image box:1 that runs SCRIPT: cri_container NAME SCRIPT
cri_container() {
    cat >"$bed/$1.json" <<JSON
{ "metadata": { "name": "$1" }, "image": { "image": "localhost/box:1" }, "command": ["/bin/sh", "-c", "$2"],
  "log_path": "$1.log", "linux": {} }
JSON
    cri create "$pod" "$bed/$1.json" "$bed/pod.json" 2>>"$bed/errors"
}
cri_state() { cri inspect -o go-template --template '{{.status.state}}' "$1"; }
cri_status() { cri inspect -o go-template --template '{{.status.exitCode}}' "$1"; }
cri_exited() { [ "$(cri_state "$1")" = CONTAINER_EXITED ]; }
with_cri() {
    local name pod server client
    mkdir -p "$bed/cni" "$bed/logs"
    : >"$bed/crictl.yaml"
    cat >"$bed/cni/pods.conf" <<JSON
{ "cniVersion": "0.4.0", "name": "pods", "type": "ptp",
  "ipam": { "type": "host-local", "subnet": "10.88.9.0/24", "dataDir": "$bed/ipam" } }
JSON
    cat >"$bed/cri.toml" <<TOML
version = 2
root = "$bed/cri"
state = "$bed/cri.state"
[grpc]
  address = "$bed/cri.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "litebox"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.litebox]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.litebox.options]
      BinaryName = "$runtime"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$bed/cni"
TOML
    cat >"$bed/pod.json" <<JSON
{ "metadata": { "name": "pod", "namespace": "tests", "uid": "pod", "attempt": 1 }, "hostname": "a-pod",
  "log_directory": "$bed/logs",
  "linux": { "security_context": { "namespace_options": { "network": 0, "pid": 1, "ipc": 0 } } } }
JSON
    podman_ import -c 'CMD ["sleep", "100000"]' "$bed/root.tar" localhost/pause:1 >/dev/null 2>&1
    podman_ import "$bed/root.tar" localhost/box:1 >/dev/null 2>&1
    containerd -c "$bed/cri.toml" >"$bed/cri.log" 2>&1 &
    daemon=$!
    until_ cri version
    for name in box pause; do
        podman_ save -q --format oci-archive -o "$bed/$name.cri" "localhost/$name:1" >/dev/null 2>&1
        ctr -a "$bed/cri.sock" -n k8s.io image import --index-name "localhost/$name:1" "$bed/$name.cri" >/dev/null 2>&1
    done
    pod=$(cri runp -r litebox "$bed/pod.json" 2>"$bed/errors") || true
    server=$(cri_container server 'mkdir /w; echo page > /w/index.html; exec httpd -f -p 127.0.0.1:80 -h /w') || true
    client=$(cri_container client 'until wget -q -O - http://127.0.0.1/; do sleep 0.1; done; hostname; ls /w; exit 3') || true
    is 'crictl start' 0 "$server"$'\n'"$client" cri start "$server" "$client"
    until_ cri_exited "$client"
    is 'crictl: exit status' 0 3 cri_status "$client"
    is 'crictl logs: 127.0.0.1 is the pod'\''s' 0 $'page\na-pod' bash -c "$(declare -f cri); bed=$bed; cri logs $client 2>/dev/null"
    is 'crictl exec' 0 $'a-pod\npage' cri exec "$server" sh -c 'hostname; cat /w/index.html'
    is 'crictl stop' 0 "$server" cri stop -t 1 "$server"
    is 'crictl: ended by SIGTERM' 0 143 cri_status "$server"
    is 'crictl rm' 0 "$server" cri rm "$server"
    is 'crictl rm' 0 "$client" cri rm "$client"
    is 'crictl stopp' 0 "Stopped sandbox $pod" cri stopp "$pod"
    is 'crictl rmp' 0 "Removed sandbox $pod" cri rmp "$pod"
    is 'nothing of the pod is left' 0 0 bash -c "grep -c $bed/cri.state /proc/mounts || true"
    kill "$daemon"
    wait "$daemon" 2>/dev/null || true
    daemon=
}

if ! command -v podman >/dev/null; then
    echo "skipped: engines: podman is not installed"
    exit 0
fi
with_podman
if command -v containerd >/dev/null && command -v ctr >/dev/null; then
    with_containerd
    if command -v crictl >/dev/null; then
        with_cri
    else
        echo "skipped: engines: crictl is not installed"
    fi
else
    echo "skipped: engines: containerd is not installed"
fi
exit "$failed"
