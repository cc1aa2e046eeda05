# Servers and clients of Python's library over the loopback device: asyncio's streams and datagrams, threads behind socketserver, http.
import asyncio
import http.server
import socket
import socketserver
import threading
import urllib.request


async def streams():
    async def upper(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def client(port, rounds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for i in range(rounds):
            writer.write(b"line %d\n" % i)
            await writer.drain()
            assert await reader.readline() == b"LINE %d\n" % i
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(upper, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*(client(port, 20) for _ in range(100)))
    server.close()
    print("streams")


async def large():
    received = asyncio.get_running_loop().create_future()

    async def take(reader, writer):
        received.set_result(len(await reader.read(-1)))
        writer.close()

    server = await asyncio.start_server(take, "::1", 0)
    reader, writer = await asyncio.open_connection("::1", server.sockets[0].getsockname()[1])
    writer.write(b"x" * (16 << 20))
    writer.write_eof()
    print("large", await received, await reader.read())
    writer.close()
    server.close()


async def datagrams():
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            self.transport.sendto(data[::-1], address)

    class Client(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            transport.sendto(b"abc")

        def datagram_received(self, data, address):
            answer.set_result(data)

    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    await loop.create_datagram_endpoint(Client, remote_addr=server.get_extra_info("sockname"))
    print("datagrams", await answer)


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


def threads():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for i in range(50):
            # With a limit of time: such a connection is begun without waiting for it, and closed without asking again.
            with socket.create_connection(server.server_address, timeout=20) as client:
                client.sendall(b"hi %d\n" % i)
                assert client.recv(99) == b"HI %d\n" % i
        server.shutdown()
    print("threads")


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def web():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in ("/", "/some/page"):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}") as page:
                print(page.status, len(page.read()))
        server.shutdown()


asyncio.run(streams())
asyncio.run(large())
asyncio.run(datagrams())
threads()
web()
