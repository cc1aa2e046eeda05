//! Structures against C: a program made from the list below prints what the compiler makes of the same structures, for
//! 64-bit and for 32-bit programs.

extern crate std;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, format, fs, println};

use super::{Layout, Layouts};
use crate::prelude::*;

/// What the macro says of a structure: the fields, and where they are in both layouts.
pub(crate) trait Described: Layout {
    const NAME: &'static str;
    const FIELDS: &'static [(&'static str, [usize; 2])];
}

/// One of the structures here.
struct Here {
    name: &'static str,
    sizes: [usize; 2],
    fields: &'static [(&'static str, [usize; 2])],
}

fn here<T: Described>() -> Here {
    Here { name: T::NAME, sizes: [Layouts::X86_64, Layouts::X86].map(T::size), fields: T::FIELDS }
}

/// The same structure in C, and its members that are fields here. `64` or `32` behind a member: only there.
struct There {
    name: &'static str,
    text: &'static str,
    members: &'static str,
}

const fn there(name: &'static str, text: &'static str, members: &'static str) -> There {
    There { name, text, members }
}

/// What C needs to know. Structures that only the kernel's sources have are written as they stand there.
const HEADERS: &str = "
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>
#include <fcntl.h>
#include <mqueue.h>
#include <net/if.h>
#include <signal.h>
#include <time.h>
#include <utime.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <linux/aio_abi.h>
#include <linux/stat.h>
#include <linux/openat2.h>
#include <linux/fiemap.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#undef st_atime
#undef st_mtime
#undef st_ctime
#define stat kernel_stat
#define stat64 kernel_stat64
#include <asm/stat.h>
struct xattr_args { _Alignas(8) uint64_t value; uint32_t size; uint32_t flags; };
struct kernel_sigaction { void *handler; unsigned long flags; void *restorer; unsigned long long mask; };
struct old_sigaction { void *handler; unsigned long mask; unsigned long flags; void *restorer; };
struct sel_arg_struct { int n; void *sets[3]; void *tvp; };
struct sigset_argpack { void *p; size_t size; };
struct mmap_arg_struct { unsigned long addr, len, prot, flags; int fd; unsigned long offset; };
";

const THERE: &[There] = &[
    there("Flock", "struct flock", "kind=l_type whence=l_whence start=l_start len=l_len pid=l_pid"),
    there("Flock64", "struct flock64", "kind=l_type whence=l_whence start=l_start len=l_len pid=l_pid"),
    there("IoVec", "struct iovec", "base=iov_base len=iov_len"),
    there(
        "Stat",
        "struct kernel_stat",
        "dev=st_dev ino=st_ino mode16=st_mode/32 mode=st_mode/64 nlink=st_nlink uid=st_uid gid=st_gid rdev=st_rdev size=st_size \
         blksize=st_blksize blocks=st_blocks atime=st_atime atime_nsec=st_atime_nsec mtime=st_mtime mtime_nsec=st_mtime_nsec \
         ctime=st_ctime ctime_nsec=st_ctime_nsec",
    ),
    there(
        "Statx",
        "struct statx",
        "mask=stx_mask blksize=stx_blksize attributes=stx_attributes nlink=stx_nlink uid=stx_uid gid=stx_gid mode=stx_mode \
         ino=stx_ino size=stx_size blocks=stx_blocks attributes_mask=stx_attributes_mask atime=stx_atime btime=stx_btime \
         ctime=stx_ctime mtime=stx_mtime rdev=stx_rdev_major dev=stx_dev_major mount=stx_mnt_id",
    ),
    there("StatxTime", "struct statx_timestamp", "sec=tv_sec nsec=tv_nsec"),
    there("OpenHow", "struct open_how", "flags=flags mode=mode resolve=resolve"),
    there("XattrArgs", "struct xattr_args", "value=value size=size flags=flags"),
    there("FOwnerEx", "struct f_owner_ex", "kind=type pid=pid"),
    there("FileHandle", "struct file_handle", "size=handle_bytes kind=handle_type"),
    there(
        "Fiemap",
        "struct fiemap",
        "start=fm_start len=fm_length flags=fm_flags told=fm_mapped_extents room=fm_extent_count reserved=fm_reserved",
    ),
    there(
        "FiemapExtent",
        "struct fiemap_extent",
        "logical=fe_logical physical=fe_physical len=fe_length reserved=fe_reserved64 flags=fe_flags reserved2=fe_reserved",
    ),
    there(
        "CloneArgs",
        "struct clone_args",
        "flags=flags pidfd=pidfd child_tid=child_tid parent_tid=parent_tid exit_signal=exit_signal stack=stack \
         stack_size=stack_size tls=tls set_tid=set_tid set_tid_size=set_tid_size cgroup=cgroup",
    ),
    there(
        "SchedAttr",
        "struct sched_attr",
        "size=size policy=sched_policy flags=sched_flags nice=sched_nice priority=sched_priority runtime=sched_runtime \
         deadline=sched_deadline period=sched_period util_min=sched_util_min util_max=sched_util_max",
    ),
    there("CapHeader", "struct __user_cap_header_struct", "version=version pid=pid"),
    there(
        "CapData",
        "struct __user_cap_data_struct",
        "effective=effective permitted=permitted inheritable=inheritable",
    ),
    there("FutexWaitv", "struct futex_waitv", "value=val address=uaddr flags=flags reserved=__reserved"),
    there("SemBuf", "struct sembuf", "member=sem_num change=sem_op flags=sem_flg"),
    there("StatFs", "struct statfs", STATFS),
    there("StatFs64", "struct statfs64", STATFS),
    there("Utimbuf", "struct utimbuf", "atime=actime mtime=modtime"),
    there("Timespec", "struct timespec", "sec=tv_sec nsec=tv_nsec"),
    there("Timeval", "struct timeval", "sec=tv_sec usec=tv_usec"),
    there("Itimerspec", "struct itimerspec", "interval=it_interval value=it_value"),
    there("Itimerval", "struct itimerval", "interval=it_interval value=it_value"),
    there("Tms", "struct tms", "user=tms_utime system=tms_stime children_user=tms_cutime children_system=tms_cstime"),
    there(
        "Timex",
        "struct timex",
        "modes=modes offset=offset frequency=freq most_error=maxerror likely_error=esterror status=status constant=constant \
         precision=precision tolerance=tolerance time=time tick=tick pulse=ppsfreq pulse_shift=shift pulse_counts=stabil tai=tai",
    ),
    there("Rlimit", "struct rlimit", "soft=rlim_cur hard=rlim_max"),
    there("Rlimit64", "struct rlimit64", "soft=rlim_cur hard=rlim_max"),
    there(
        "Rusage",
        "struct rusage",
        "user=ru_utime system=ru_stime max_resident=ru_maxrss unused_sizes=ru_ixrss minor_faults=ru_minflt \
         major_faults=ru_majflt unused_swaps=ru_nswap blocks_in=ru_inblock blocks_out=ru_oublock unused_messages=ru_msgsnd \
         voluntary_switches=ru_nvcsw involuntary_switches=ru_nivcsw",
    ),
    there("RobustListHead", "struct robust_list_head", "next=list offset=futex_offset pending=list_op_pending"),
    there(
        "SysInfo",
        "struct sysinfo",
        "uptime=uptime loads=loads total=totalram free=freeram shared=sharedram buffers=bufferram total_swap=totalswap \
         free_swap=freeswap threads=procs total_high=totalhigh free_high=freehigh unit=mem_unit",
    ),
    there("EpollEvent", "struct epoll_event", "events=events data=data"),
    there("SelectMask", "struct sigset_argpack", "set=p size=size"),
    there("SelectArguments", "struct sel_arg_struct", "count=n sets=sets timeout=tvp"),
    there(
        "MapArguments",
        "struct mmap_arg_struct",
        "address=addr len=len protection=prot flags=flags fd=fd offset=offset",
    ),
    there("SigAction", "struct kernel_sigaction", "handler=handler flags=flags restorer=restorer mask=mask"),
    there("OldSigAction", "struct old_sigaction", "handler=handler mask=mask flags=flags restorer=restorer"),
    there("SigEvent", "struct sigevent", "value=sigev_value signal=sigev_signo notify=sigev_notify tid=_sigev_un"),
    there(
        "MsgHdr",
        "struct msghdr",
        "name=msg_name name_len=msg_namelen vectors=msg_iov vector_count=msg_iovlen control=msg_control \
         control_len=msg_controllen flags=msg_flags",
    ),
    there("MMsgHdr", "struct mmsghdr", "header=msg_hdr len=msg_len"),
    there("CMsgHdr", "struct cmsghdr", "len=cmsg_len level=cmsg_level kind=cmsg_type"),
    there("IfConf", "struct ifconf", "len=ifc_len buffer=ifc_buf"),
    there(
        "IpcPerm",
        "struct ipc_perm",
        "key=__key uid=uid gid=gid creator_uid=cuid creator_gid=cgid mode=mode sequence=__seq",
    ),
    there("SemIdDs", "struct semid_ds", "perm=sem_perm operation_time=sem_otime change_time=sem_ctime count=sem_nsems"),
    there(
        "MsqIdDs",
        "struct msqid_ds",
        "perm=msg_perm send_time=msg_stime receive_time=msg_rtime change_time=msg_ctime bytes=__msg_cbytes messages=msg_qnum \
         most_bytes=msg_qbytes last_sender=msg_lspid last_receiver=msg_lrpid",
    ),
    there(
        "ShmIdDs",
        "struct shmid_ds",
        "perm=shm_perm size=shm_segsz attach_time=shm_atime detach_time=shm_dtime change_time=shm_ctime creator=shm_cpid \
         last=shm_lpid attached=shm_nattch",
    ),
    there(
        "ShmInfo",
        "struct shminfo",
        "most_size=shmmax least_size=shmmin most_segments=shmmni most_attached=shmseg most_pages=shmall",
    ),
    there("ShmUsage", "struct shm_info", "segments=used_ids pages=shm_tot resident=shm_rss"),
    there(
        "Iocb",
        "struct iocb",
        "data=aio_data key=aio_key rw_flags=aio_rw_flags opcode=aio_lio_opcode priority=aio_reqprio fd=aio_fildes \
         buffer=aio_buf len=aio_nbytes offset=aio_offset reserved=aio_reserved2 flags=aio_flags result_fd=aio_resfd",
    ),
    there("IoEvent", "struct io_event", "data=data request=obj result=res result2=res2"),
    there("AioSigSet", "struct sigset_argpack", "set=p size=size"),
    there("MqAttr", "struct mq_attr", "flags=mq_flags most=mq_maxmsg size=mq_msgsize count=mq_curmsgs"),
];

/// Structures that only 32-bit programs have.
const THERE_32: &[There] = &[
    there(
        "Stat64",
        "struct kernel_stat64",
        "dev=st_dev ino32=__st_ino mode=st_mode nlink=st_nlink uid=st_uid gid=st_gid rdev=st_rdev size=st_size blksize=st_blksize \
         blocks=st_blocks atime=st_atime atime_nsec=st_atime_nsec mtime=st_mtime mtime_nsec=st_mtime_nsec ctime=st_ctime \
         ctime_nsec=st_ctime_nsec ino=st_ino",
    ),
    there(
        "OldStat",
        "struct __old_kernel_stat",
        "dev=st_dev ino=st_ino mode=st_mode nlink=st_nlink uid=st_uid gid=st_gid rdev=st_rdev size=st_size atime=st_atime \
         mtime=st_mtime ctime=st_ctime",
    ),
];

const STATFS: &str = "kind=f_type block_size=f_bsize blocks=f_blocks free=f_bfree available=f_bavail files=f_files \
                      files_free=f_ffree id=f_fsid name_max=f_namelen fragment_size=f_frsize flags=f_flags";

fn all_here() -> Vec<Here> {
    std::vec![
        here::<Flock>(),
        here::<Flock64>(),
        here::<IoVec>(),
        here::<Stat>(),
        here::<Stat64>(),
        here::<OldStat>(),
        here::<Statx>(),
        here::<StatxTime>(),
        here::<OpenHow>(),
        here::<XattrArgs>(),
        here::<FOwnerEx>(),
        here::<FileHandle>(),
        here::<Fiemap>(),
        here::<FiemapExtent>(),
        here::<CloneArgs>(),
        here::<SchedAttr>(),
        here::<CapHeader>(),
        here::<CapData>(),
        here::<FutexWaitv>(),
        here::<SemBuf>(),
        here::<Iocb>(),
        here::<IoEvent>(),
        here::<AioSigSet>(),
        here::<StatFs>(),
        here::<StatFs64>(),
        here::<Utimbuf>(),
        here::<Timespec>(),
        here::<Timeval>(),
        here::<Itimerspec>(),
        here::<Itimerval>(),
        here::<Tms>(),
        here::<Timex>(),
        here::<Rlimit>(),
        here::<Rlimit64>(),
        here::<Rusage>(),
        here::<RobustListHead>(),
        here::<SysInfo>(),
        here::<EpollEvent>(),
        here::<SelectMask>(),
        here::<SelectArguments>(),
        here::<MapArguments>(),
        here::<SigAction>(),
        here::<OldSigAction>(),
        here::<SigEvent>(),
        here::<MsgHdr>(),
        here::<MMsgHdr>(),
        here::<CMsgHdr>(),
        here::<IfConf>(),
        here::<IpcPerm>(),
        here::<SemIdDs>(),
        here::<MsqIdDs>(),
        here::<ShmIdDs>(),
        here::<ShmInfo>(),
        here::<ShmUsage>(),
        here::<MqAttr>(),
    ]
}

/// The two kinds of programs: the compiler's flag, which layout they have here, and the word behind a member.
const KINDS: [(&str, usize, &str); 2] = [("-m64", 0, "64"), ("-m32", 1, "32")];

/// The fields of a structure as the compiler is to print them: our name, its name.
fn members(there: &There, width: &str) -> Vec<(&'static str, &'static str)> {
    let pairs = there.members.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(field, member)| match member.split_once('/') {
            Some((member, only)) => (only == width).then_some((field, member)),
            None => Some((field, member)),
        })
        .collect()
}

/// The program that prints sizes and offsets, a line for each structure.
fn program(list: &[&There], width: &str) -> String {
    let mut lines: Vec<String> = [HEADERS, "int main(void)\n{\n"].map(ToString::to_string).into();
    for there in list {
        lines.push(format!("    printf(\"{} sizeof=%zu\", sizeof({}));\n", there.name, there.text));
        let members = members(there, width);
        lines.extend(
            members
                .into_iter()
                .map(|(field, member)| format!("    printf(\" {field}=%zu\", offsetof({}, {member}));\n", there.text)),
        );
        lines.push("    puts(\"\");\n".to_string());
    }
    lines.push("    return 0;\n}\n".to_string());
    lines.concat()
}

/// What it prints; `None` where such programs cannot be made.
fn printed(flag: &str, text: &str) -> Option<String> {
    let binary = env::temp_dir().join(format!("litebox-layouts{flag}-{}", std::process::id()));
    let mut compiler = Command::new("gcc");
    compiler.args([flag, "-w", "-x", "c", "-", "-o"]).arg(&binary).stdin(Stdio::piped());
    let mut child = compiler.spawn().ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let made = child.wait().ok()?.success();
    let output = made.then(|| Command::new(&binary).output().ok()).flatten();
    let _ = fs::remove_file(&binary);
    String::from_utf8(output?.stdout).ok()
}

/// Whether a program of this kind can be made and run at all.
fn can_make(flag: &str) -> bool {
    printed(flag, "#include <stdio.h>\nint main(void) { puts(\"yes\"); return 0; }").as_deref() == Some("yes\n")
}

#[test]
fn structures_are_those_of_c() {
    let structures: BTreeMap<&str, Here> = all_here().into_iter().map(|here| (here.name, here)).collect();
    let stated = THERE.iter().chain(THERE_32).count();
    assert_eq!(structures.len(), stated, "each structure is compared");
    for (flag, layout, width) in KINDS {
        if !can_make(flag) {
            println!("no programs of {flag} can be made here (gcc-multilib)");
            continue;
        }
        let list: Vec<&There> =
            if layout == 0 { THERE.iter().collect() } else { THERE.iter().chain(THERE_32).collect() };
        let Some(told) = printed(flag, &program(&list, width)) else {
            panic!("the compiler refuses the list for {flag}")
        };
        assert_eq!(told.lines().count(), list.len());
        for line in told.lines() {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let here = &structures[name];
            for (field, offset) in words.filter_map(|word| word.split_once('=')) {
                let ours = match field {
                    "sizeof" => Some(here.sizes[layout]),
                    field => here.fields.iter().find(|(own, _)| *own == field).map(|(_, offsets)| offsets[layout]),
                };
                assert_eq!(ours.map(|n| n.to_string()).as_deref(), Some(offset), "{flag} {name}.{field}");
            }
        }
    }
}
