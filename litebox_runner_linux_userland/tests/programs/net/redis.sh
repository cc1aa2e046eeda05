# redis and its client, and its benchmark as a load.
port=$(free_port)
serve "$port" redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --daemonize no
ask() { redis-cli -h 127.0.0.1 -p "$port" "$@"; }
ask ping
ask set greeting hello
ask get greeting
for n in 1 2 3; do ask rpush list "$n"; done
ask lrange list 0 -1
seq 1 2000 | sed 's/.*/set key& value&/' | ask --pipe | tail -1
ask dbsize
redis-benchmark -h 127.0.0.1 -p "$port" -q -n 3000 -c 20 -t set,get --csv | cut -d, -f1
ask shutdown nosave
