# TLS by a certificate of the script's own: python's server, curl, openssl, and asyncio at both ends.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2>/dev/null
cat >server.py <<'PY'
import http.server, ssl, sys
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert", "key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
port=$(free_port)
seq 1 5000 >numbers
serve "$port" python3 server.py "$port"
curl -s --cacert cert "https://localhost:$port/numbers" | cksum
curl -s "https://localhost:$port/numbers" || echo "not trusted: $?"
wget -q --ca-certificate=cert -O - "https://localhost:$port/numbers" | cksum
echo | openssl s_client -connect "127.0.0.1:$port" -CAfile cert 2>/dev/null | grep -E 'Verification|Protocol' | head -1
cat >echo.py <<'PY'
import asyncio, ssl

async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.close()

async def talk(port, context, number):
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    message = bytes([number]) * 5000
    writer.write(message)
    got = await reader.readexactly(len(message))
    writer.close()
    return got == message

async def main():
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain("cert", "key")
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=own)
    port = server.sockets[0].getsockname()[1]
    context = ssl.create_default_context(cafile="cert")
    print(await asyncio.gather(*(talk(port, context, n) for n in range(20))))

asyncio.run(main())
PY
python3 echo.py
