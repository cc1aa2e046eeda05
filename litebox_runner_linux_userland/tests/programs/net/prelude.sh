# What the scripts beside this one share: servers on the loopback, waited for and taken away. They run in an empty directory.
set -u
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; wait 2>/dev/null' EXIT

# A port that was free a moment ago.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Starts a server, and waits until somebody listens on the port.
serve() {
    local port=$1 try
    shift
    "$@" >server.log 2>&1 &
    servers+=($!)
    for ((try = 0; try < 600; try++)); do
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
        kill -0 "${servers[-1]}" 2>/dev/null || break
        sleep 0.05
    done
    echo "nobody listens: $*"
    cat server.log
    exit 1
}
