# What tools tell of the network: of the loopback device, and of sockets of the script's own.
ping -c 2 -i 0.2 -q 127.0.0.1 | sed 's/time [0-9]*ms/time/; /rtt/d'
ping -c 1 -q ::1 | grep -o '1 received'
ip -o addr show dev lo | tr -s ' ' | cut -d' ' -f2-4
ip -o link show dev lo | grep -o 'mtu [0-9]*'
port=$(free_port)
serve "$port" nc -lk 127.0.0.1 "$port"
# Not how many wait: who tried whether it listens may not have been accepted yet.
ss -Htln "sport = :$port" | tr -s " " | cut -d" " -f1,3- | sed "s/$port/PORT/"
ss -Htlnp "sport = :$port" | grep -o '"nc"'
exec 3<>"/dev/tcp/127.0.0.1/$port"
ss -Htn state established "dport = :$port" | tr -s ' ' | cut -d' ' -f1-2
