"""What a program sees of connections and datagrams to another machine: the client's half, which prints, or the server's.

The server is at 10.0.0.1. What the client prints must not depend on whether it shares that machine's kernel."""
import errno, fcntl, hashlib, os, select, signal, socket, struct, sys, threading, time

HOST = "10.0.0.1"
SIOCATMARK = 0x8905
BODY = hashlib.shake_256(b"wire").digest(3_000_001)


def serve():
    """One thread for each connection; its first byte says what is done with it."""
    listener = socket.create_server((HOST, 7000), backlog=300)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((HOST, 7001))

    def echo():
        while True:
            data, peer = datagrams.recvfrom(65536)
            datagrams.sendto(data, peer)

    threading.Thread(target=echo, daemon=True).start()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_quietly, args=(connection,), daemon=True).start()


def receive_all(s):
    pieces = []
    while piece := s.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def serve_quietly(c):
    try:
        serve_one(c)
    except ConnectionError:
        pass  # the client says what it saw


def serve_one(c):
    what = c.recv(1)
    if what == b"d":  # digest of all that comes
        c.sendall(hashlib.sha256(receive_all(c)).digest())
    elif what == b"b":  # sends a body
        c.sendall(BODY)
    elif what == b"e":  # echoes
        while data := c.recv(4096):
            c.sendall(data)
    elif what == b"r":  # resets
        c.recv(1)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif what == b"s":  # reads slowly: nothing before it is told to
        time.sleep(0.3)
        c.sendall(struct.pack("!I", len(receive_all(c))))
    elif what == b"u":  # tells what is urgent and what is not
        wait_for(c, select.POLLPRI)
        urgent = c.recv(1, socket.MSG_OOB)
        c.sendall(repr((urgent, receive_all(c))).encode())
    elif what == b"U":  # sends something urgent, once it is told to
        c.recv(1)
        c.sendall(b"before")
        c.send(b"urgent!", socket.MSG_OOB)
        c.sendall(b"after")
        c.recv(1)
    elif what == b"o":  # says what its peer's address is
        c.sendall(repr(c.getpeername()[1]).encode())
    c.close()


def connect(what):
    s = socket.create_connection((HOST, 7000))
    s.sendall(what)
    return s


def error_of(call, *arguments):
    try:
        return call(*arguments)
    except OSError as e:
        return errno.errorcode[e.errno]


def events(s):
    poll = select.poll()
    poll.register(s, select.POLLIN | select.POLLOUT | select.POLLRDHUP)
    return dict(poll.poll(5000)).get(s.fileno(), 0)


def wait_for(s, event):
    poll = select.poll()
    poll.register(s, event)
    poll.poll(10000)


def streams():
    s = connect(b"d")
    s.sendall(BODY)
    s.shutdown(socket.SHUT_WR)
    print("sent:", receive_all(s) == hashlib.sha256(BODY).digest())
    s = connect(b"b")
    print("received:", receive_all(s) == BODY, s.recv(1))
    s = connect(b"e")
    for size in (1, 100, 4096, 1, 1460, 1461):
        s.sendall(BODY[:size])
        got = s.recv(size, socket.MSG_WAITALL)
        print("echo", size, got == BODY[:size])
    s.sendall(b"peek")
    wait_for(s, select.POLLIN)
    print(s.recv(2, socket.MSG_PEEK), s.recv(4, socket.MSG_WAITALL), error_of(s.recv, 1, socket.MSG_DONTWAIT))
    print("half:", s.shutdown(socket.SHUT_WR), s.recv(1), error_of(s.send, b"x"))
    s = connect(b"o")
    print("port:", int(s.recv(10)) == s.getsockname()[1], s.getpeername())
    s = connect(b"s")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
    s.setblocking(False)
    sent = 0
    while (n := error_of(s.send, BODY[: 1 << 16])) != "EAGAIN":
        sent += n
        if sent > 64 << 20:
            break
    print("full:", n)
    s.setblocking(True)
    s.shutdown(socket.SHUT_WR)
    print("slow:", struct.unpack("!I", s.recv(4, socket.MSG_WAITALL))[0] == sent)


def read_to_mark(s):
    data = b""
    while struct.unpack("i", fcntl.ioctl(s, SIOCATMARK, bytes(4)))[0] == 0:
        data += s.recv(100)
    return data


def urgent():
    s = connect(b"u")
    print("urgent:", s.send(b"one"), s.send(b"two!", socket.MSG_OOB), s.send(b"three"), s.shutdown(socket.SHUT_WR))
    print(receive_all(s))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGURG])
    for inline in (0, 1):
        s = connect(b"U")
        s.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
        fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid())
        print("none:", error_of(s.recv, 1, socket.MSG_OOB))
        s.sendall(b"x")
        told = signal.sigtimedwait([signal.SIGURG], 10)
        print("told:", told and told.si_signo == signal.SIGURG)
        wait_for(s, select.POLLPRI)
        print("apart:", error_of(s.recv, 1, socket.MSG_OOB), error_of(s.recv, 1, socket.MSG_OOB))
        print(read_to_mark(s), s.recv(6 if inline else 5, socket.MSG_WAITALL))
        s.close()


def ends():
    s = connect(b"r")
    s.sendall(b"x")
    wait_for(s, select.POLLIN)
    print("reset:", hex(events(s)), error_of(s.recv, 1), error_of(s.recv, 1), error_of(s.send, b"x"))
    s = socket.socket()
    print("refused:", error_of(s.connect, (HOST, 7009)), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    s = socket.socket()
    s.setblocking(False)
    print("at once:", s.connect_ex((HOST, 7000)) in (errno.EINPROGRESS, 0))
    wait_for(s, select.POLLOUT)
    print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.connect_ex((HOST, 7000)) in (0, errno.EISCONN))
    s.close()
    s = socket.socket()
    s.setblocking(False)
    print("refused later:", s.connect_ex((HOST, 7009)) in (errno.EINPROGRESS, errno.ECONNREFUSED))
    wait_for(s, select.POLLOUT)
    left = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    print(left in (errno.ECONNREFUSED, 0), s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    s = connect(b"b")
    wait_for(s, select.POLLIN)
    s.close()  # with unread data
    s = connect(b"b")
    time.sleep(0.2)
    print("late:", len(receive_all(s)))


def many():
    several = [connect(b"e") for _ in range(200)]
    for s in several:
        s.sendall(b"hello")
    print("many:", sum(s.recv(5, socket.MSG_WAITALL) == b"hello" for s in several))
    results = []

    def one(i):
        s = connect(b"d")
        s.sendall(BODY[i:])
        s.shutdown(socket.SHUT_WR)
        results.append(receive_all(s) == hashlib.sha256(BODY[i:]).digest())

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("at once:", results)


def datagrams():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    for size in (0, 1, 1400, 1472, 1473, 9000, 65507):
        s.sendto(BODY[:size], (HOST, 7001))
        data, peer = s.recvfrom(65536)
        print("datagram", size, data == BODY[:size], peer)
    print("too long:", error_of(s.sendto, BODY[:65508], (HOST, 7001)))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((HOST, 7009))
    s.send(b"x")
    print("nobody:", error_of(s.recv, 1))


if sys.argv[1] == "serve":
    serve()
for part in (streams, urgent, ends, many, datagrams):
    part()
