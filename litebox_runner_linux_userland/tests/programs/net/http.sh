# python's http.server; curl, wget and urllib.
port=$(free_port)
mkdir site
seq 1 20000 >site/numbers
echo hello >site/index.html
serve "$port" python3 -m http.server --bind 127.0.0.1 --directory site "$port"
at=http://127.0.0.1:$port
curl -s "$at/"
curl -s "$at/numbers" | cksum
curl -s -o /dev/null -w '%{http_code} %{size_download} %{remote_ip}\n' "$at/nothing"
curl -s --no-keepalive "$at/" "$at/index.html"
wget -q -O - "$at/numbers" | cksum
wget -q -r -nH "$at/" -P copy && find copy -type f | sort
python3 -c "import urllib.request as u; print(len(u.urlopen('$at/numbers').read()))"
curl -s -m 5 "http://127.0.0.1:1/" || echo "refused: $?"
