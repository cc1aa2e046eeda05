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

# Starts nginx with two workers; the rest is what its server does beside listening.
serve_nginx() {
    local port=$1 part
    shift
    mkdir -p logs
    {
        echo "user root; daemon off; worker_processes 2; pid $PWD/nginx.pid; error_log $PWD/logs/error;"
        echo "events { worker_connections 256; } http { access_log off;"
        for part in client_body proxy fastcgi uwsgi scgi; do echo "${part}_temp_path $PWD/logs/$part;"; done
        echo "server { listen 127.0.0.1:$port; $* } }"
    } >nginx.conf
    serve "$port" nginx -p "$PWD" -c nginx.conf -e logs/error
}
