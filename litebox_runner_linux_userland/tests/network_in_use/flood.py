# Floods the sandbox's name server (10.0.2.3) with questions and with what is none, from sockets that read no answer,
# and asks in between for a name that is there. Its argument: how many seconds at least; 0: a few rounds.
import os, random, socket, struct, sys, time

SERVER = ('10.0.2.3', 53)
seconds = float(sys.argv[1])
random.seed(7)


def question(name, kind=1):
    labels = b''.join(bytes([len(label)]) + label for label in name.split(b'.'))
    return struct.pack('>6H', random.getrandbits(16), 0x100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('>2H', kind, 1)


def nonsense():
    whole = bytearray(question(b'name%d.example.org' % random.getrandbits(20), random.choice([1, 28, 5, 15, 16, 255])))
    way = random.randrange(5)
    if way == 0:
        return bytes(whole[:random.randrange(len(whole))])
    if way == 1:
        for _ in range(4):
            whole[random.randrange(len(whole))] = random.getrandbits(8)
    if way == 2:
        whole[12:14] = b'\xc0\x0c'
    if way == 3:
        return os.urandom(random.randrange(1500))
    return bytes(whole)


def flood(sockets):
    for s in sockets:
        for _ in range(100):
            try:
                s.sendto(nonsense(), SERVER)
            except BlockingIOError:
                pass


def answered():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.sendto(question(b'refused.example.org'), SERVER)
        return s.recv(600)[3] & 15 != 0


def streams():
    for _ in range(5):
        with socket.socket() as s:
            s.settimeout(20)
            try:
                s.connect(SERVER)
                s.sendall(struct.pack('>H', 60000) + nonsense())
            except OSError:
                pass


floods = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
for s in floods:
    s.setblocking(False)
begin, rounds, good, descriptors = time.monotonic(), 0, 0, len(os.listdir('/proc/self/fd'))
while rounds < 5 or time.monotonic() - begin < seconds:
    flood(floods)
    streams()
    good += answered() and socket.getaddrinfo('host', 80)[0][4][0] == '10.0.2.2'
    rounds += 1
print('all answered' if good == rounds else f'{good} of {rounds}', len(os.listdir('/proc/self/fd')) - descriptors)
