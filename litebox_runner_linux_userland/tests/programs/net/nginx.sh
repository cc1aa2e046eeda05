# nginx with two workers.
port=$(free_port)
mkdir -p site logs
seq 1 20000 >site/numbers
cat >nginx.conf <<CONF
user root;
daemon off;
worker_processes 2;
pid $PWD/nginx.pid;
error_log $PWD/logs/error;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $PWD/logs/a; proxy_temp_path $PWD/logs/b; fastcgi_temp_path $PWD/logs/c;
    uwsgi_temp_path $PWD/logs/d; scgi_temp_path $PWD/logs/e;
    server {
        listen 127.0.0.1:$port;
        location / { root $PWD/site; }
        location /again/ { proxy_pass http://127.0.0.1:$port/; }
    }
}
CONF
serve "$port" nginx -p "$PWD" -c nginx.conf -e logs/error
curl -s "http://127.0.0.1:$port/numbers" | cksum
curl -s "http://127.0.0.1:$port/again/numbers" | cksum
curl -s -r 0-9 "http://127.0.0.1:$port/numbers"
for n in $(seq 40); do echo "url = http://127.0.0.1:$port/numbers"; done >urls
curl -s --parallel --parallel-max 20 --config urls 2>/dev/null | wc -c
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$port/nothing"
