# rsync's daemon: files to it and from it.
mkdir -p share from
seq 1 30000 >from/numbers
mkdir from/below
echo hello >from/below/greeting
port=$(free_port)
printf 'use chroot = no\nuid = %s\ngid = %s\n[share]\npath = %s/share\nread only = no\n' "$(id -u)" "$(id -g)" "$PWD" >rsyncd.conf
serve "$port" rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config=rsyncd.conf
rsync -rt from/ "rsync://127.0.0.1:$port/share/" && (cd share && find . -type f | sort | xargs cksum)
echo changed >>from/numbers
rsync -rt --stats from/ "rsync://127.0.0.1:$port/share/" | grep 'regular files transferred'
rsync -r "rsync://127.0.0.1:$port/share/" to/ && diff -r from to && echo same
