# nginx with two workers.
port=$(free_port)
mkdir -p site
seq 1 20000 >site/numbers
serve_nginx "$port" "location / { root $PWD/site; }" "location /again/ { proxy_pass http://127.0.0.1:$port/; }"
curl -s "http://127.0.0.1:$port/numbers" | cksum
curl -s "http://127.0.0.1:$port/again/numbers" | cksum
curl -s -r 0-9 "http://127.0.0.1:$port/numbers"
for n in $(seq 40); do echo "url = http://127.0.0.1:$port/numbers"; done >urls
curl -s --parallel --parallel-max 20 --config urls 2>/dev/null | wc -c
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$port/nothing"
