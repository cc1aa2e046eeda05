# socat between every two kinds of sockets, and nc.
say() { printf 'hello from %s\n' "$1"; }
both() {
    local name=$1 listen=$2 connect=$3 try
    socat -u "$listen" CREATE:got &
    for ((try = 0; try < 200; try++)); do
        say "$name" | socat -u - "$connect" 2>/dev/null && break
        sleep 0.05
    done
    wait $!
    cat got
}
port=$(free_port)
both tcp4 "TCP4-LISTEN:$port,bind=127.0.0.1,reuseaddr" "TCP4:127.0.0.1:$port"
port=$(free_port)
both tcp6 "TCP6-LISTEN:$port,bind=[::1],reuseaddr" "TCP6:[::1]:$port"
both unix UNIX-LISTEN:socket UNIX-CONNECT:socket
both abstract "ABSTRACT-LISTEN:test-$$" "ABSTRACT-CONNECT:test-$$"
port=$(free_port)
# Through a chain: a line goes by TCP to a socket of the file system and back.
socat UNIX-LISTEN:chain,fork EXEC:cat &
servers+=($!)
while [ ! -S chain ]; do sleep 0.02; done
serve "$port" socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" UNIX-CONNECT:chain
say chain | socat - "TCP:127.0.0.1:$port"
port=$(free_port)
serve "$port" socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" SYSTEM:'tr a-z A-Z'
say nc | nc -N 127.0.0.1 "$port"
nc -z 127.0.0.1 1 || echo "nc: $?"
