# The fields and the shapes of lines of files in /proc: what every kernel of today has, without the values.
import os, re

# What depends on the machine or on how its kernel was built.
BUILT = {'Zswap', 'Zswapped', 'SecPageTables', 'Balloon', 'DirectMap4k', 'DirectMap2M', 'DirectMap1G', 'Unaccepted', 'CmaTotal', 'CmaFree', 'HardwareCorrupted',
         'microcode', 'TLB size', 'bogomips', 'Speculation_Store_Bypass', 'SpeculationIndirectBranch', 'x86_Thread_features', 'x86_Thread_features_locked', 'Kthread',
         'untag_mask', 'ProtectionKey', 'FilePmdMapped', 'FileHugePages', 'KSM', 'NFS_Unstable', 'GPUActive', 'GPUReclaim', 'Pss_Dirty', 'Seccomp_filters'}


def read(path):
    try:
        return open(path, 'rb').read().decode('latin1')
    except OSError as e:
        return 'errno %d' % e.errno


def shape(line):
    return re.sub(r'\b[0-9a-f]*[0-9][0-9a-f]*\b', '#', line)


def keys(path):
    names = [re.split(r'\s*:|\s{2,}', line, maxsplit=1)[0] for line in read(path).splitlines()]
    print(path, [name for name in names if name not in BUILT])


def columns(path):
    print(path, [len(line.split()) for line in read(path).splitlines()])


me = '/proc/self/'
for name in ['status', 'io', 'limits']:
    keys(me + name)
for name in ['stat', 'statm', 'schedstat']:
    columns(me + name)
for name in ['comm', 'wchan', 'oom_score_adj', 'setgroups', 'coredump_filter', 'personality']:
    print(me + name, [shape(line) for line in read(me + name).splitlines()])
print([re.sub(' +', ' ', shape(line)) for line in read(me + 'limits').splitlines()])

area = re.compile(r'^[0-9a-f]{8,16}-[0-9a-f]{8,16} [r-][w-][x-][ps] [0-9a-f]{8} [0-9a-f]{2,}:[0-9a-f]{2} \d+( +\S.*)?$')
maps = read(me + 'maps').splitlines()
print('maps', all(area.match(line) for line in maps), [n for n in ('[heap]', '[stack]', '[vdso]') if any(line.endswith(n) for line in maps)])
smaps = read(me + 'smaps').splitlines()
starts = [i for i, line in enumerate(smaps) if area.match(line)]
print('smaps', len(starts) > 10, [n for n in (line.split(':')[0] for line in smaps[1:starts[1]]) if n not in BUILT])
print('smaps lines', all(re.match(r'^\w+: +\d+ kB$|^VmFlags:( [a-z]{2})+ $|^THPeligible: +[01]$', line) for line in smaps if not area.match(line)))
print('smaps_rollup', [n for n in (line.split(':')[0] for line in read(me + 'smaps_rollup').splitlines()[1:]) if n not in BUILT])
print('mountinfo', all(re.match(r'^\d+ \d+ \d+:\d+ \S+ \S+ \S+( \S+)* - \S+ \S+ \S+$', line) for line in read(me + 'mountinfo').splitlines()))
print('mounts', all(re.match(r'^\S+ \S+ \S+ \S+ 0 0$', line) for line in read(me + 'mounts').splitlines()))
print('cgroup', all(re.match(r'^\d+:\S*:/\S*$', line) for line in read(me + 'cgroup').splitlines()))

fd = os.open('/etc/passwd', os.O_RDONLY)
print('fdinfo', [shape(line) for line in read(me + 'fdinfo/%d' % fd).splitlines()])
print('fd', os.readlink(me + 'fd/%d' % fd), oct(os.lstat(me + 'fd/%d' % fd).st_mode), str(fd) in os.listdir(me + 'fd'))
for name in ['exe', 'cwd', 'root']:
    print(name, os.readlink(me + name)[:1])
print('cmdline', read(me + 'cmdline').count('\0'), 'environ', read(me + 'environ').endswith('\0'))
print('task', os.listdir(me + 'task') == [str(os.getpid())], os.readlink('/proc/thread-self') == '%d/task/%d' % (os.getpid(), os.getpid()))
EXPECTED = '''attr auxv cgroup cmdline comm coredump_filter cwd environ exe fd fdinfo gid_map io limits maps mem mountinfo mounts mountstats net ns
    oom_score oom_score_adj pagemap personality root schedstat setgroups smaps smaps_rollup stat statm status task timerslack_ns uid_map wchan'''.split()
print('missing', [name for name in EXPECTED if name not in os.listdir(me)])
for name in EXPECTED:
    st = os.lstat(me + name)
    print(name, oct(st.st_mode), st.st_uid == os.getuid())

print('cpuinfo', [n for n in (re.split(r'\s*:', line)[0] for line in read('/proc/cpuinfo').split('\n\n')[0].splitlines()) if n not in BUILT])
keys('/proc/meminfo')
print('meminfo', all(re.match(r'^[\w()]+: +\d+( kB)?$', line) for line in read('/proc/meminfo').splitlines()))
print('stat', [(line.split()[0], len(line.split())) for line in read('/proc/stat').splitlines() if not re.match(r'cpu\d|intr', line)])
for name in ['uptime', 'loadavg']:
    print(name, [re.sub(r'[\d.]+', '#', line) for line in read('/proc/' + name).splitlines()])
print('version', re.match(r'^Linux version \S+ ', read('/proc/version')) is not None)
print('filesystems', all(re.match(r'^(nodev)?\t\w[\w.-]*$', line) for line in read('/proc/filesystems').splitlines()),
      [name for name in ('tmpfs', 'proc', 'devpts', 'overlay') if '\t%s\n' % name in read('/proc/filesystems')])
for name in ['kernel/hostname', 'kernel/ostype', 'kernel/osrelease', 'kernel/pid_max', 'kernel/threads-max', 'kernel/random/uuid', 'kernel/random/boot_id',
             'kernel/core_pattern', 'kernel/sem', 'kernel/msgmax', 'kernel/shmmax', 'kernel/ngroups_max', 'kernel/cap_last_cap',
             'vm/overcommit_memory', 'vm/max_map_count', 'vm/mmap_min_addr', 'vm/swappiness', 'fs/file-max', 'fs/file-nr', 'fs/nr_open', 'fs/pipe-max-size',
             'fs/inotify/max_user_watches', 'fs/mqueue/msg_max']:
    text = read('/proc/sys/' + name)
    print(name, len(text.splitlines()), 'pattern' if 'pattern' in name else len(text.split()), oct(os.stat('/proc/sys/' + name).st_mode))
