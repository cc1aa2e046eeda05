//! The first process, and what the supervisor is told.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;

use litebox::fs::host::HostFile;
use litebox::fs::{Access, EmptyRoot, FdTable, File, FileType, FsContext, MountFlags, OpenFile, StatusFlags, Vfs};
use litebox::mm::arena::Arena;
use litebox::platform::{HostFd, ThreadSpec, host};
use litebox::sync::RwLock;
use litebox::{Error, Result};

use crate::loader::{self, Arguments};
use crate::syscalls::mm::MemoryMap;
use crate::task::{Credentials, Kernel, KernelConfig, Process, ProcessSpec, Thread};

/// RLIMIT_STACK of the first process, in bytes.
const STACK_LIMIT: u64 = 8 << 20;
/// RLIMIT_NOFILE of the first process.
const MOST_DESCRIPTORS: u64 = 1024;
/// umask of the first process.
const UMASK: u32 = 0o022;

/// What the first process runs.
#[derive(Clone, Debug, Default)]
pub struct FirstProgram {
    /// The program, opened by the broker.
    pub file: i32,
    /// Its arguments and environment.
    pub arguments: Arguments,
    /// Who it runs as.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// The kernel object of a new sandbox; made in the supervisor.
pub fn kernel(config: KernelConfig) -> Arc<Kernel> {
    let kernel = Kernel::new(config, Vfs::new(Arc::new(EmptyRoot), MountFlags::RDONLY));
    crate::outside::keep(&kernel);
    kernel
}

/// Loads the first program into the calling process, which becomes the guest's first; never returns when that succeeds.
pub fn run_first(kernel: &Arc<Kernel>, first: &FirstProgram) -> Result<core::convert::Infallible> {
    let program = open_host(kernel, HostFd(first.file), true, Access::READ)?;
    let open = |path: &[u8]| {
        if path != first.arguments.path {
            // Interpreters and script programs need the file systems.
            return Err(Error::NotFound);
        }
        if program.file.inode().file_type() == FileType::Regular { Ok(program.clone()) } else { Err(Error::Access) }
    };
    let prepared = loader::prepare(first.arguments.clone(), STACK_LIMIT, &open)?;
    let mm = MemoryMap::new(&Arena::new());
    let ids = loader::AuxIds { uid: first.uid, euid: first.uid, gid: first.gid, egid: first.gid, test_hostile: None };
    let loaded = loader::load_into(mm.space(), &mm.limits(), prepared, &ids)?;
    let pid = kernel.allocate_id();
    let credentials = Credentials {
        uid: first.uid,
        euid: first.uid,
        suid: first.uid,
        fsuid: first.uid,
        gid: first.gid,
        egid: first.gid,
        sgid: first.gid,
        fsgid: first.gid,
        groups: Vec::new(),
    };
    let mut name = [0u8; 16];
    for (to, from) in name.iter_mut().zip(loaded.image.name.iter().take(15)) {
        *to = *from;
    }
    let spec = ProcessSpec {
        pid,
        parent: 0,
        kernel: kernel.clone(),
        mm,
        files: standard_streams(kernel)?,
        fs: Arc::new(root_context(&kernel.vfs)),
        credentials,
        image: loaded.image,
    };
    let process = Process::new(spec);
    let thread = Thread::new(&process, pid, name);
    process.add_thread(&thread);
    crate::outside::take_signals(kernel);
    let thread = leaked(thread);
    host().enter_first(&ThreadSpec {
        north: core::ptr::from_ref(thread).cast(),
        host: &thread.host,
        waiter: &thread.waiter,
        regs: &loaded.registers,
        fp: None,
        fs_base: loaded.fs_base,
        gs_base: 0,
    })
}

/// The host holds one reference of a thread until it exits.
fn leaked(thread: Arc<Thread>) -> &'static Thread {
    // SAFETY: the reference count never reaches zero: `into_raw` keeps one.
    unsafe { &*Arc::into_raw(thread) }
}

fn open_host(kernel: &Kernel, fd: HostFd, owned: bool, access: Access) -> Result<Arc<OpenFile>> {
    let file: Arc<dyn File> = HostFile::new(fd, owned)?;
    Ok(OpenFile::new(file, access, StatusFlags::empty(), None, kernel.vfs.next_open_id()))
}

/// Descriptors 0, 1 and 2, as far as the person left them open.
fn standard_streams(kernel: &Kernel) -> Result<Arc<FdTable>> {
    let table = FdTable::new();
    for fd in 0..3 {
        if let Ok(file) = open_host(kernel, HostFd(fd), false, Access::READ | Access::WRITE) {
            table.install_at(fd, file, false, MOST_DESCRIPTORS)?;
        }
    }
    Ok(table)
}

/// The root of the tree as root and working directory.
fn root_context(vfs: &Vfs) -> FsContext {
    let root = vfs.root();
    FsContext { root: RwLock::new(root.clone()), cwd: RwLock::new(root), umask: AtomicU32::new(UMASK) }
}

/// A watched host descriptor became ready.
pub(crate) fn host_ready(_token: u64, _events: u16) {}
