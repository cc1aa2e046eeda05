# pip installs from an index on the loopback.
mkdir -p simple/greeting
python3 - <<'PY'
import zipfile
info = "greeting-1.0.dist-info"
with zipfile.ZipFile("simple/greeting/greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting.py", "print('hello from a wheel')\n")
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
PY
port=$(free_port)
serve "$port" python3 -m http.server --bind 127.0.0.1 "$port"
/usr/bin/python3 -m pip install -q --no-cache-dir --disable-pip-version-check --root-user-action=ignore --target packages \
    --index-url "http://127.0.0.1:$port/simple" greeting 2>&1 | grep -v WARNING
PYTHONPATH=packages /usr/bin/python3 -c 'import greeting'
