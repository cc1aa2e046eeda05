# dnsmasq is asked, and the C library finds what /etc/hosts says.
port=$(free_port)
serve "$port" dnsmasq --no-daemon --no-hosts --no-resolv --user=root --port="$port" --listen-address=127.0.0.1 --bind-interfaces \
    --pid-file="$PWD/pid" --address=/it.example.org/192.0.2.7 --host-record=six.example.org,2001:db8::7 --txt-record=it.example.org,words
ask() { dig +short +time=5 +tries=2 @127.0.0.1 -p "$port" "$@"; }
ask it.example.org A
ask six.example.org AAAA
ask it.example.org TXT
ask +tcp below.it.example.org A
getent hosts localhost | tr -s ' '
getent services http | tr -s ' '
