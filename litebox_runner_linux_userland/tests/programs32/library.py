# The standard library of a 32-bit Python, as far as it asks the kernel or the processor for something.
import array, asyncio, bz2, ctypes, datetime, decimal, fcntl, hashlib, io, json, lzma, math, mmap, multiprocessing, os
import pathlib, pickle, queue, random, re, resource, select, selectors, shutil, signal, socket, sqlite3, struct
import subprocess, sys, tempfile, threading, time, zlib

os.chdir(tempfile.mkdtemp())
print(sys.maxsize, struct.calcsize('P'), ctypes.sizeof(ctypes.c_long), 2 ** 100, sys.byteorder)
for name in 'md5', 'sha1', 'sha256', 'sha512', 'sha3_256', 'blake2b', 'blake2s':
    print(name, hashlib.new(name, b'x' * 100000).hexdigest()[:24])
print(hashlib.pbkdf2_hmac('sha256', b'word', b'salt', 1000).hex()[:24])
print(struct.pack('<bhiqfd', -1, -2, -3, -4, 1.5, 2.25).hex(), array.array('l', [1]).itemsize)
decimal.getcontext().prec = 50
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7)
print(math.gamma(10.5), math.fsum([0.1] * 10), math.hypot(3, 4), repr(0.1 + 0.2), float('1e-320'), math.sin(1e22))
data = random.Random(7).randbytes(200000)
for module in zlib, bz2, lzma:
    assert module.decompress(module.compress(data)) == data
print(zlib.crc32(data), pickle.loads(pickle.dumps({'a': [1, (2, 3)]})), json.dumps({'n': 1e100, 'u': 'ü'}))

# Threads, locks, queues.
counter, lock, q = 0, threading.Lock(), queue.Queue()
def work():
    global counter
    for _ in range(2000):
        with lock:
            counter += 1
    q.put(threading.get_native_id() > 0)
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(counter, all(q.get() for _ in threads))
event = threading.Event()
print(event.wait(0.02), threading.Timer(0.01, event.set).start(), event.wait(20))

# Processes.
print(subprocess.run(['sh', '-c', 'cat; echo err >&2; exit 3'], input=b'in', capture_output=True))
print(subprocess.check_output(['env', '-i', 'X=1', 'env'], text=True), end='')
pid = os.fork()
if pid == 0:
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    subprocess.run(['sleep', '30'], timeout=0.05)
except subprocess.TimeoutExpired:
    print('timeout')
with multiprocessing.get_context('fork').Pool(2) as pool:
    print(pool.map(abs, range(-5, 5)))
pid = os.posix_spawn('/bin/sh', ['sh', '-c', 'exit 5'], os.environ)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

# Signals, timers.
hits = []
signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while not hits:
    signal.pause()
print('alarm', signal.getitimer(signal.ITIMER_REAL), signal.sigtimedwait([signal.SIGUSR2], 0.01))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); os.kill(os.getpid(), signal.SIGUSR1)
info = signal.sigwaitinfo([signal.SIGUSR1]); print(info.si_signo, info.si_code, info.si_pid == os.getpid())
before = time.monotonic_ns(); time.sleep(0.01); print(time.monotonic_ns() - before > 9000000, time.time() > 1.6e9)
print(datetime.datetime.fromtimestamp(2 ** 31 - 5, datetime.timezone.utc), time.gmtime(2 ** 31 - 5).tm_year)

# Files.
path = pathlib.Path('file'); path.write_bytes(b'0123456789' * 1000)
with open(path, 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0); m[5:8] = b'abc'; m.flush(); print(m.find(b'abc'), m[:12]); m.close()
    f.seek(6 << 30); f.write(b'end'); print(f.tell(), os.fstat(f.fileno()).st_size)
    print(os.pread(f.fileno(), 3, 6 << 30), os.pwrite(f.fileno(), b'xy', 5 << 30))
    f.truncate(10); fcntl.lockf(f, fcntl.LOCK_EX); print(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_ACCMODE)
os.utime('file', ns=(123456789, 2 * 10 ** 18)); print(os.stat('file').st_mtime_ns, os.stat('file').st_ino > 0)
os.symlink('file', 'link'); os.makedirs('a/b/c'); print(sorted(os.listdir('.')), os.readlink('link'))
print(sorted(e.name for e in os.scandir('.') if e.is_dir()), shutil.disk_usage('.').total > 0, os.statvfs('.').f_bsize)
print(os.sendfile(os.open('copy', os.O_CREAT | os.O_WRONLY), os.open('file', os.O_RDONLY), 0, 10))
print(os.copy_file_range(os.open('file', os.O_RDONLY), os.open('copy', os.O_WRONLY), 5), pathlib.Path('copy').read_bytes())
os.setxattr('file', 'user.a', b'v'); print(os.listxattr('file'), os.getxattr('file', 'user.a'))
r, w = os.pipe(); os.write(w, b'pipe'); print(os.readv(r, [b := bytearray(2), c := bytearray(9)]), b, c[:2])
print(os.writev(w, [b'ab', b'cde']), select.select([r], [], [], 5)[0] == [r], os.read(r, 9))

# Sockets and what waits for them.
server = socket.create_server(('127.0.0.1', 0)); client = socket.create_connection(server.getsockname())
peer, _ = server.accept(); client.sendall(b'over tcp'); print(peer.recv(100), peer.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE))
peer.settimeout(0.02)
try:
    peer.recv(1)
except TimeoutError:
    print('timed out')
left, right = socket.socketpair(); socket.send_fds(left, [b'fd'], [r]); message, fds, *_ = socket.recv_fds(right, 9, 1)
print(message, os.fstat(fds[0]).st_ino == os.fstat(r).st_ino)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('127.0.0.1', 0)); udp.sendto(b'dgram', udp.getsockname())
poll = select.epoll(); poll.register(udp, select.EPOLLIN); print(len(poll.poll(5)), udp.recv(9))
async def ask():
    async def answer(reader, writer):
        writer.write((await reader.readline()).upper()); await writer.drain(); writer.close()
    served = await asyncio.start_server(answer, '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*served.sockets[0].getsockname())
    writer.write(b'async\n'); print(await reader.read())
    process = await asyncio.create_subprocess_exec('echo', 'sub', stdout=subprocess.PIPE); print(await process.communicate())
asyncio.run(ask())

# The C library, callbacks, structures.
libc = ctypes.CDLL('libc.so.6', use_errno=True)
print(libc.getpid() == os.getpid(), libc.close(-1), ctypes.get_errno())
numbers = (ctypes.c_int * 5)(5, 3, 9, 1, 7)
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc.qsort(numbers, 5, 4, compare(lambda a, b: a[0] - b[0])); print(list(numbers))
libc.strtoull.restype = ctypes.c_ulonglong; print(libc.strtoull(b'12345678901234567890', None, 10))
print(resource.getrlimit(resource.RLIMIT_CORE)[0] >= -1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1000)
db = sqlite3.connect('base'); db.execute('create table t(a integer primary key, b)')
db.executemany('insert into t values(?, ?)', [(i, str(i) * 3) for i in range(1000)]); db.commit()
print(db.execute('select count(*), sum(a), max(b) from t').fetchone(), os.path.getsize('base') % 4096)
print(os.uname().sysname, len(os.sched_getaffinity(0)) > 0, os.sysconf('SC_PAGESIZE'), len(os.urandom(16)))
