# memcached, spoken to by hand.
port=$(free_port)
serve "$port" memcached -u root -l 127.0.0.1 -p "$port" -U 0
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'set greeting 0 0 5\r\nhello\r\nget greeting\r\nincr greeting 1\r\nquit\r\n' >&3
tr -d '\r' <&3
