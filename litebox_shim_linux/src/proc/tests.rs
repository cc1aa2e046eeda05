use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use litebox::Error;
use litebox::fs::{
    Access, AnonInode, EmptyRoot, FdTable, FileSystem, FileType, FsContext, Inode, MountFlags, OpenFile, OpenHow,
    StatusFlags,
};
use litebox::io::{Dest, Source};
use litebox::mm::arena::Arena;
use litebox::sync::RwLock;

use super::ProcFs;
use super::sys::{CgroupFs, SysFs};
use crate::loader::ImageInfo;
use crate::mm::MemoryMap;
use crate::task::{CloneShares, Credentials, Kernel, KernelConfig, Process, ProcessSpec, Thread};

const READ: OpenHow = OpenHow { access: Access::READ, truncate: false, nonblocking: false, append: false };
const BOTH: OpenHow =
    OpenHow { access: Access::READ.union(Access::WRITE), truncate: false, nonblocking: false, append: false };

fn kernel() -> Arc<Kernel> {
    let config = KernelConfig {
        hostname: "box".into(),
        machine_memory: 4 << 30,
        memory_limit: Some(1 << 30),
        ..KernelConfig::default()
    };
    Kernel::new(config, None, Arena::new(), Arc::new(EmptyRoot), MountFlags::empty())
}

/// A process without threads.
fn process(kernel: &Arc<Kernel>) -> Arc<Process> {
    Process::new(ProcessSpec {
        pid: 77,
        parent: 1,
        kernel: kernel.clone(),
        container: kernel.sandbox.clone(),
        mm: MemoryMap::new(&Arena::new()),
        credentials: Credentials::default(),
        image: ImageInfo { name: b"a)b c".to_vec(), ..ImageInfo::default() },
        limits: crate::syscalls::limits::Limits::default(),
    })
}

/// Its first thread.
fn thread(process: &Arc<Process>) -> Arc<Thread> {
    let root = process.kernel.vfs.root();
    let fs = FsContext { root: RwLock::new(root.clone()), cwd: RwLock::new(root), umask: 0o22.into() };
    let thread = Thread::new(process, process.pid, [0; 16], CloneShares::own(FdTable::new(), Arc::new(fs)));
    assert!(process.add_thread(&thread));
    thread
}

fn at(root: &Arc<dyn Inode>, path: &str) -> litebox::Result<Arc<dyn Inode>> {
    path.split('/').filter(|n| !n.is_empty()).try_fold(root.clone(), |dir, name| dir.lookup(name.as_bytes()))
}

fn read(root: &Arc<dyn Inode>, path: &str) -> litebox::Result<String> {
    let file = at(root, path)?.open(&READ)?;
    let mut all = Vec::new();
    loop {
        // Odd pieces, so that lines are cut.
        let mut part = [0u8; 333];
        let n = file.read_at(&mut Dest::kernel(&mut part), all.len() as u64)?;
        if n == 0 {
            return Ok(String::from_utf8_lossy(&all).to_string());
        }
        all.extend_from_slice(&part[..n]);
    }
}

/// Every path below `dir`.
fn walk(dir: &Arc<dyn Inode>, prefix: &str, out: &mut Vec<(String, Arc<dyn Inode>)>) {
    let mut names = Vec::new();
    dir.read_dir(0, &mut |entry| {
        names.push((String::from_utf8_lossy(entry.name).to_string(), entry.ino, entry.file_type));
        true
    })
    .unwrap();
    for (name, ino, file_type) in names {
        let path = alloc::format!("{prefix}/{name}");
        let inode = dir.lookup(name.as_bytes()).unwrap();
        assert_eq!((inode.id().ino, inode.file_type()), (ino, file_type), "{path}");
        assert_eq!(inode.metadata().unwrap().file_type(), file_type, "{path}");
        if file_type == FileType::Directory {
            walk(&inode, &path, out);
        }
        out.push((path, inode));
    }
}

#[test]
fn every_file_of_every_tree_can_be_read() {
    let kernel = kernel();
    let process = process(&kernel);
    let _thread = thread(&process);
    let weak = Arc::downgrade(&kernel);
    let trees: [Arc<dyn FileSystem>; 3] =
        [ProcFs::new(weak.clone(), 5), SysFs::new(weak.clone(), 6), CgroupFs::new(weak, 7)];
    for tree in trees {
        let root = tree.root();
        let mut all = Vec::new();
        walk(&root, "", &mut all);
        assert!(all.len() > 10);
        let mut numbers: Vec<u64> = all.iter().map(|(_, inode)| inode.id().ino).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all.len(), "an inode number is used twice");
        for (path, inode) in all {
            match inode.file_type() {
                FileType::Regular => match read(&root, &path) {
                    Ok(text) => assert!(!text.contains('\0'), "{path}"),
                    Err(error) => {
                        let closed = ["/mem", "/pagemap", "/stack"].iter().any(|name| path.ends_with(name));
                        let known = path.contains("/attr/") || closed;
                        assert!(known, "{path}: {error:?}");
                    }
                },
                FileType::Symlink => {
                    let _ = inode.read_link();
                }
                _ => {}
            }
        }
    }
    drop(process);
}

#[test]
fn directories_go_on_where_they_stopped() {
    let kernel = kernel();
    let _process = process(&kernel);
    let root = ProcFs::new(Arc::downgrade(&kernel), 5).root();
    let mut whole = Vec::new();
    root.read_dir(0, &mut |e| {
        whole.push(e.name.to_vec());
        true
    })
    .unwrap();
    let (mut pieces, mut cookie) = (Vec::new(), 0);
    loop {
        let before = pieces.len();
        root.read_dir(cookie, &mut |e| {
            pieces.push(e.name.to_vec());
            cookie = e.next;
            false
        })
        .unwrap();
        if pieces.len() == before {
            break;
        }
    }
    assert_eq!(whole, pieces);
    assert!(whole.contains(&b"77".to_vec()));
}

#[test]
fn a_process_is_described_as_linux_describes_it() {
    let kernel = kernel();
    let process = process(&kernel);
    process.set_ended();
    let root = ProcFs::new(Arc::downgrade(&kernel), 5).root();
    let stat = read(&root, "77/stat").unwrap();
    let (head, tail) = stat.rsplit_once(')').unwrap();
    assert_eq!(head, "77 (a)b c");
    assert_eq!(tail.split_whitespace().count(), 50);
    assert!(tail.starts_with(" Z 1 77 77 0 -1 "));
    assert_eq!(read(&root, "77/statm").unwrap().split_whitespace().count(), 7);
    assert!(read(&root, "77/status").unwrap().starts_with("Name:\ta)b c\nState:\tZ (zombie)\nTgid:\t77\n"));
    let limits = read(&root, "77/limits").unwrap();
    assert_eq!(limits.lines().count(), 17);
    assert!(
        limits.lines().any(|l| l == "Max stack size            8388608              unlimited            bytes     ")
    );
    assert_eq!(read(&root, "77/cgroup").unwrap(), "0::/\n");
    assert_eq!(read(&root, "77/comm").unwrap(), "a)b c\n");
    drop(process);
}

#[test]
fn what_ended_is_gone() {
    let kernel = kernel();
    let process = process(&kernel);
    let root = ProcFs::new(Arc::downgrade(&kernel), 5).root();
    let directory = at(&root, "77").unwrap();
    let open = at(&root, "77/comm").unwrap().open(&READ).unwrap();
    kernel.remove_process(77);
    drop(process);
    let mut part = [0u8; 10];
    assert_eq!(open.read_at(&mut Dest::kernel(&mut part), 0), Err(Error::NoProcess));
    assert_eq!(directory.lookup(b"comm").err(), Some(Error::NotFound));
    assert_eq!(at(&root, "77").err(), Some(Error::NotFound));
    for name in ["077", "+7", "-1", "99999999999", "7a", " 7"] {
        assert_eq!(at(&root, name).err(), Some(Error::NotFound));
    }
}

#[test]
fn descriptors_are_links_with_their_rights() {
    let kernel = kernel();
    let process = process(&kernel);
    let root = ProcFs::new(Arc::downgrade(&kernel), 5).root();
    let null = litebox::fs::dev::open_device(
        &(AnonInode::shared("eventpoll") as Arc<dyn Inode>),
        litebox::fs::dev::device_number(1, 3),
        &kernel.terminals,
    )
    .unwrap();
    let file = OpenFile::new(null, Access::READ, StatusFlags::NONBLOCK, None, 1);
    let thread = thread(&process);
    thread.files.install_at(5, file, true, 1024).unwrap();
    let link = at(&root, "77/fd/5").unwrap();
    assert_eq!(link.read_link().unwrap(), b"anon_inode:[eventpoll]");
    let metadata = link.metadata().unwrap();
    assert_eq!((metadata.mode, metadata.size), (0o120_500, 64));
    assert_eq!(link.magic_link().unwrap().inode().file_type(), FileType::Regular);
    let facts = read(&root, "77/fdinfo/5").unwrap();
    assert!(facts.starts_with("pos:\t0\nflags:\t02004000\nmnt_id:\t0\nino:\t"), "{facts}");
    assert_eq!(at(&root, "77/fd/4").err(), Some(Error::NotFound));
    thread.files.remove(5).unwrap();
    assert_eq!(link.read_link().err(), Some(Error::NotFound));
    assert_eq!(at(&root, "77/cwd").unwrap().read_link().unwrap(), b"/");
}

#[test]
fn nothing_can_be_changed_but_what_can() {
    let kernel = kernel();
    let process = process(&kernel);
    let root = ProcFs::new(Arc::downgrade(&kernel), 5).root();
    assert_eq!(at(&root, "version").unwrap().open(&BOTH).err(), Some(Error::NotPermitted));
    assert_eq!(root.unlink(b"version").err(), Some(Error::NotPermitted));
    let score = at(&root, "77/oom_score_adj").unwrap().open(&BOTH).unwrap();
    assert_eq!(score.write_at(&mut Source::kernel(b"500\n"), 0), Ok(4));
    assert_eq!(read(&root, "77/oom_score_adj").unwrap(), "500\n");
    assert_eq!(score.write_at(&mut Source::kernel(b"1001"), 0), Err(Error::Invalid));
    assert_eq!(score.write_at(&mut Source::kernel(b"-5"), 0), Err(Error::Access));
    assert_eq!(score.write_at(&mut Source::kernel(&vec![b'1'; 5000]), 0), Err(Error::Invalid));
    let name = at(&root, "sys/kernel/hostname").unwrap().open(&BOTH).unwrap();
    assert_eq!(name.write_at(&mut Source::kernel(b"other"), 0), Err(Error::NotPermitted));
    assert_eq!(read(&root, "sys/kernel/hostname").unwrap(), "box\n");
    drop(process);
}

#[test]
fn figures_agree_with_each_other() {
    let kernel = kernel();
    let weak = Arc::downgrade(&kernel);
    let root = ProcFs::new(weak.clone(), 5).root();
    assert!(read(&root, "meminfo").unwrap().starts_with("MemTotal:        1048576 kB\nMemFree:         1048576 kB\n"));
    // The mock host grants processors 0 and 1.
    let processors = read(&root, "cpuinfo").unwrap();
    assert_eq!(processors.lines().filter(|l| l.starts_with("processor\t: ")).count(), 2);
    assert_eq!(read(&root, "stat").unwrap().lines().filter(|l| l.starts_with("cpu")).count(), 3);
    let sys = SysFs::new(weak.clone(), 6).root();
    assert_eq!(read(&sys, "devices/system/cpu/online").unwrap(), "0-1\n");
    assert_eq!(read(&sys, "devices/system/cpu/cpu1/topology/thread_siblings").unwrap(), "2\n");
    assert_eq!(at(&sys, "devices/system/cpu/cpu2").err(), Some(Error::NotFound));
    let group = CgroupFs::new(weak, 7).root();
    assert_eq!(read(&group, "memory.max").unwrap(), "1073741824\n");
    let (one, other) = (read(&root, "sys/kernel/random/uuid").unwrap(), read(&root, "sys/kernel/random/uuid").unwrap());
    assert_ne!(one, other);
    assert_eq!((one.len(), one.as_bytes()[14]), (37, b'4'));
    let boot = read(&root, "sys/kernel/random/boot_id").unwrap();
    assert_eq!(boot, read(&root, "sys/kernel/random/boot_id").unwrap());
}
