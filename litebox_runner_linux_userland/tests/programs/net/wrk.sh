# wrk asks nginx as often as it can; each answer must come, whole.
port=$(free_port)
mkdir -p site logs
seq 200 >site/numbers
cat >nginx.conf <<CONF
user root;
daemon off;
worker_processes 2;
pid $PWD/nginx.pid;
error_log $PWD/logs/error;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $PWD/logs/a; proxy_temp_path $PWD/logs/b; fastcgi_temp_path $PWD/logs/c;
    uwsgi_temp_path $PWD/logs/d; scgi_temp_path $PWD/logs/e;
    server { listen 127.0.0.1:$port; root $PWD/site; }
}
CONF
cat >count.lua <<'LUA'
function response(status, headers, body)
    if status ~= 200 or #body ~= 692 then wrong = (wrong or 0) + 1 end
end
function done(summary, latency, requests)
    local e = summary.errors
    print("errors", e.connect, e.read, e.write, e.status, e.timeout)
    print("some", summary.requests > 100)
end
LUA
serve "$port" nginx -p "$PWD" -c nginx.conf -e logs/error
wrk -t 2 -c 32 -d 1s -s count.lua "http://127.0.0.1:$port/numbers" | grep -E '^(errors|some)'
curl -s "http://127.0.0.1:$port/numbers" | cksum
