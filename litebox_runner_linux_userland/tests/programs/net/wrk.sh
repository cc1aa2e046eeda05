# wrk asks nginx as often as it can; each answer must come, whole.
port=$(free_port)
mkdir -p site
seq 200 >site/numbers
cat >count.lua <<'LUA'
local threads = {}
function setup(thread)
    table.insert(threads, thread)
    thread:set("wrong", 0)
end
function response(status, headers, body)
    if status ~= 200 or #body ~= 692 then wrong = wrong + 1 end
end
function done(summary, latency, requests)
    local e, sum = summary.errors, 0
    for _, thread in ipairs(threads) do sum = sum + thread:get("wrong") end
    print("errors", e.connect, e.read, e.write, e.status, e.timeout)
    print("wrong", sum)
    print("some", summary.requests > 100)
end
LUA
serve_nginx "$port" "root $PWD/site;"
wrk -t 2 -c 32 -d 1s -s count.lua "http://127.0.0.1:$port/numbers" | grep -E '^(errors|wrong|some)'
curl -s "http://127.0.0.1:$port/numbers" | cksum
