//! execve(2) and execveat(2): everything that can be refused is looked at first; then the other threads leave and the
//! image is replaced.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;
use litebox_common_linux::Arch;
use litebox_common_linux::abi::file::{AT_FDCWD, AtFlags};

use litebox::fs::{Access, FdTable, FileType, Location, LookupFlags, OpenFile, OpenHow, Origin, StatusFlags};
use litebox::platform::compat::CpuMode;
use litebox::platform::host;
use litebox::sync::jitter;
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::UserWord;
use litebox_common_linux::argument::{UserRef, UserStr};

use crate::loader::{self, Arguments, AuxIds, Loaded, Prepared};
use crate::signal::set::{SIGCHLD, SIGSEGV};
use crate::syscalls::system::Personality;
use crate::task::{Newborn, UseCounted};
use crate::user::{UserRead, read_string};
use crate::{Task, Thread};

/// Only look whether it could be executed (Linux 6.14).
const AT_EXECVE_CHECK: AtFlags = AtFlags(0x1_0000);
/// Longest argument or environment string, with its zero (`MAX_ARG_STRLEN`).
const STRING_MAX: usize = 128 << 10;
/// Longest path, with its zero.
const PATH_MAX: usize = 4096;
/// How often threads that have to leave are told again.
const REMIND: Duration = Duration::from_millis(20);

/// What a call wants executed, opened.
struct Program {
    file: Arc<OpenFile>,
    /// What the program is told as its path (`AT_EXECFN`).
    path: Vec<u8>,
    /// That path leads nowhere once the descriptor is closed: a script cannot be read by its interpreter.
    inaccessible: bool,
}

impl Task<'_, '_> {
    /// execve(2).
    pub(crate) fn execve(&mut self, path: UserStr, argv: UserRef<UserStr>, envp: UserRef<UserStr>) -> Result<usize> {
        self.execveat(AT_FDCWD, path, argv, envp, AtFlags::empty())
    }

    /// execveat(2).
    pub(crate) fn execveat(
        &mut self,
        dirfd: i32,
        path: UserStr,
        argv: UserRef<UserStr>,
        envp: UserRef<UserStr>,
        flags: AtFlags,
    ) -> Result<usize> {
        let prepared = self.prepare_program(dirfd, path, argv, envp, flags)?;
        if flags.contains(AT_EXECVE_CHECK) {
            return Ok(0);
        }
        self.remove_other_threads()?;
        self.own_descriptors();
        self.own_places();
        if self.process().mm.is_shared() {
            let last_user = self.move_out(prepared)?;
            self.end_vfork();
            // The others may have ended while this one still used their memory.
            if last_user { host().exit_process() } else { host().exit_thread() }
        }
        self.begin_image(prepared);
        self.end_vfork();
        Ok(0)
    }

    /// Descriptors that other threads use too become the caller's own.
    pub(crate) fn own_descriptors(&self) {
        let files = &self.thread.files;
        if files.is_shared() {
            let own = UseCounted::new(FdTable::duplicate(files));
            if let Some(unused) = files.replace(own) {
                // The others that used it have ended meanwhile.
                for file in unused.remove_range(0, u32::MAX) {
                    // Nobody hears of late errors.
                    let _ = self.closed_in(&unused, file);
                }
            }
        }
    }

    /// Root, working directory and mask that other threads use too become the caller's own.
    pub(crate) fn own_places(&self) {
        let fs = &self.thread.fs;
        if fs.is_shared() {
            let own = UseCounted::new(super::fork::copy_of(fs));
            drop(fs.replace(own));
            let _ = self.thread.fast_syscalls();
        }
    }

    /// The calling process uses memory of another one: it goes on in a process of its own on the host, where a new
    /// thread takes over with its id and an empty address space. The calling thread is done then; `true`: so is its
    /// process on the host.
    fn move_out(&mut self, prepared: Prepared) -> Result<bool> {
        let process = self.process().clone();
        self.forget_user_words()?;
        let shares = self.thread.shares().ok_or(Error::NoProcess)?;
        let thread = Thread::new(&process, self.thread.tid(), *self.thread.name.lock(), shares);
        thread.inherit_identity(self.thread);
        thread.signals.take_over(&self.thread.signals);
        thread.scheduling.inherit(&self.thread.scheduling);
        self.thread.copy_rseq_to(&thread);
        *thread.newborn.lock() = Some(Newborn::Program(Box::new(prepared)));
        thread.waiter.interrupt();
        let before = process.mm.shared().ok_or(Error::NoProcess)?;
        // A parent that goes on after vfork finds it so.
        let executed = process.executed.swap(true, Ordering::AcqRel);
        let left = process.mm.replace(UseCounted::new(before.sibling()));
        process.replace_thread(self.thread, &thread);
        // The new one has them; when it ends, soon perhaps, nobody else may seem to.
        self.thread.leave_shares();
        let started = self.launch(&thread, 0, host().fs_base(), |spec| host().spawn_program(spec));
        if started.is_err() {
            self.thread.come_back_to_shares();
            process.replace_thread(&thread, self.thread);
            self.thread.signals.take_over(&thread.signals);
            process.mm.replace(before);
            process.executed.store(executed, Ordering::Release);
            return Err(Error::WouldBlock);
        }
        jitter();
        self.thread.moved.store(true, Ordering::Relaxed);
        Ok(left.inspect(|unused| unused.core().forget_all()).is_some())
    }

    /// In the process that a program moved to: what the host copied goes, the program comes.
    pub(crate) fn begin_program(&mut self, prepared: Prepared) {
        if host().began_as_copy() {
            let (start, end) = host().user_span();
            let unregistered = self.thread.forget_rseq();
            if unregistered.and_then(|()| host().unmap(start, end - start)).is_err() {
                self.exit_group_with(SIGSEGV);
            }
        }
        self.thread.rseq_area.store(0, Ordering::Relaxed);
        self.begin_image(prepared);
    }

    fn begin_image(&mut self, prepared: Prepared) {
        if self.replace_image(prepared).is_err() {
            // The old program is gone and there is no new one.
            self.exit_group_with(SIGSEGV);
        }
    }

    /// All that may fail while the old program lives.
    fn prepare_program(
        &mut self,
        dirfd: i32,
        path: UserStr,
        argv: UserRef<UserStr>,
        envp: UserRef<UserStr>,
        flags: AtFlags,
    ) -> Result<Prepared> {
        let path = read_string(path, PATH_MAX, Error::NameTooLong)?;
        if self.is_too_crowded() {
            return Err(Error::WouldBlock);
        }
        if path.is_empty() && !flags.contains(AtFlags::AT_EMPTY_PATH) {
            return Err(Error::NotFound);
        }
        if !(AtFlags::AT_EMPTY_PATH | AtFlags::AT_SYMLINK_NOFOLLOW | AT_EXECVE_CHECK).contains(flags) {
            return Err(Error::Invalid);
        }
        let program = self.open_program(dirfd, path, flags)?;
        let stack_limit = self.process().mm.limits().stack;
        let budget = Arguments::room(stack_limit);
        let argv = read_pointers(argv, budget)?;
        let envp = read_pointers(envp, budget)?;
        let mut left = budget.saturating_sub(8 * (argv.len() as u64 + envp.len() as u64));
        let envp = read_strings(&envp, &mut left)?;
        let argv = read_strings(&argv, &mut left)?;
        if program.inaccessible && loader::is_script(&*program.file.file)? {
            return Err(Error::NotFound);
        }
        let arguments = Arguments { argv, envp, path: program.path };
        let open =
            |path: &[u8]| self.walk_from_cwd(|from| self.kernel().vfs.open_program(from, path, LookupFlags::FOLLOW));
        loader::prepare_file(program.file, arguments, stack_limit, &open)
    }

    fn walk_from_cwd<T>(&self, walk: impl FnOnce(&Origin<'_>) -> Result<T>) -> Result<T> {
        let start = self.thread.fs.cwd.read().clone();
        self.walk_from(start, walk)
    }

    fn walk_from<T>(&self, start: Location, walk: impl FnOnce(&Origin<'_>) -> Result<T>) -> Result<T> {
        let creds = self.creds();
        let creds = creds.for_files();
        let root = self.thread.fs.root.read().clone();
        walk(&Origin { creds, root, start, umask: 0 })
    }

    fn open_program(&self, dirfd: i32, path: Vec<u8>, flags: AtFlags) -> Result<Program> {
        let vfs = &self.kernel().vfs;
        let mut walk = LookupFlags::empty();
        walk.set(LookupFlags::FOLLOW, !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW));
        if path.first() == Some(&b'/') || dirfd == AT_FDCWD && !path.is_empty() {
            let file = self.walk_from_cwd(|from| vfs.open_program(from, &path, walk))?;
            return Ok(Program { file, path, inaccessible: false });
        }
        if dirfd == AT_FDCWD {
            // The working directory itself.
            return Err(Error::Access);
        }
        let entry = self.thread.files.entry(dirfd)?;
        let name = alloc::format!("/dev/fd/{dirfd}").into_bytes();
        if path.is_empty() {
            let file = self.open_again(&entry.file)?;
            return Ok(Program { file, path: name, inaccessible: entry.close_on_exec });
        }
        let start = entry.file.location.clone().ok_or(Error::NotDirectory)?;
        let file = self.walk_from(start, |from| vfs.open_program(from, &path, walk))?;
        let path = [name.as_slice(), b"/", &path].concat();
        Ok(Program { file, path, inaccessible: entry.close_on_exec })
    }

    /// A program by its descriptor.
    fn open_again(&self, file: &Arc<OpenFile>) -> Result<Arc<OpenFile>> {
        let vfs = &self.kernel().vfs;
        if let Some(at) = &file.location {
            if at.inode().file_type() == FileType::Symlink {
                return Err(Error::Loop);
            }
            return self.walk_from(at.clone(), |from| vfs.open_program_at(&from.creds, at.clone()));
        }
        let creds = self.creds();
        let creds = creds.for_files();
        vfs.check_program(&creds, &*file.file.inode(), &file.file.metadata()?)?;
        let opened = if file.access.contains(Access::READ) {
            file.file.clone()
        } else {
            file.file.inode().open(&OpenHow { access: Access::READ, ..OpenHow::default() })?
        };
        Ok(OpenFile::new(opened, Access::READ, StatusFlags::empty(), None, vfs.next_open_id()))
    }

    /// Waits until the calling thread is the only one of its process, and makes it the first.
    fn remove_other_threads(&mut self) -> Result<()> {
        let process = self.process().clone();
        if !process.begin_exec(self.thread) {
            return Err(Error::WouldBlock);
        }
        let mut interrupted = false;
        loop {
            interrupted |= self.take_interruption();
            let ticket = self.waiter().ticket();
            if process.exiting() || process.thread_count() <= 1 {
                break;
            }
            for thread in process.threads() {
                if !Arc::ptr_eq(&thread, self.thread) {
                    thread.interrupt();
                }
            }
            // A thread that is just being started hears of it the next time.
            let _ = self.waiter().sleep(ticket, Some(host().instant().saturating_add(REMIND)));
        }
        if interrupted {
            // Whatever came meanwhile is looked at on the way out.
            self.waiter().interrupt();
        }
        if process.exiting() {
            process.end_exec();
            return Err(Error::Interrupted);
        }
        self.thread.become_first();
        process.end_exec();
        Ok(())
    }

    /// The point of no return: an error ends the process.
    fn replace_image(&mut self, prepared: Prepared) -> Result<()> {
        let process = self.process().clone();
        // Before descriptors are closed: a parent may have waited for that before it looks (setpgid(2)).
        process.executed.store(true, Ordering::Release);
        self.forget_user_words()?;
        let creds = self.creds();
        let persona = process.personality();
        let ids = AuxIds {
            uid: creds.uid,
            euid: creds.euid,
            gid: creds.gid,
            egid: creds.egid,
            test_hostile: None,
            fixed_addresses: persona.contains(Personality::ADDR_NO_RANDOMIZE),
            three_gib: persona.contains(Personality::ADDR_LIMIT_3GB),
        };
        // A 64-bit program says itself what of its memory can be executed; a 32-bit one may be told.
        if prepared.arch() == Arch::X86_64 {
            process.persona.fetch_and(!Personality::READ_IMPLIES_EXEC.bits(), Ordering::Relaxed);
        }
        if prepared.reading_implies_execution() {
            process.persona.fetch_or(Personality::READ_IMPLIES_EXEC.bits(), Ordering::Relaxed);
        }
        let Loaded { registers, fs_base, mode, segments, image } =
            loader::load_into(process.mm.core(), &process.mm.limits(), prepared, &ids)?;
        for file in self.thread.files.remove_close_on_exec() {
            // Nobody hears of late errors.
            let _ = self.closed(file);
        }
        process.timers.reset_for_exec();
        process.mm.barriers.store(0, Ordering::Relaxed);
        process.mm.aio.clear();
        process.exit_signal.store(SIGCHLD, Ordering::Relaxed);
        let mut followed = (*creds).clone();
        followed.follow_exec();
        self.set_creds(followed);
        let itself = creds.euid == creds.uid && creds.egid == creds.gid;
        process.dumpable.store(itself, Ordering::Relaxed);
        process.reset_signal_handlers();
        self.thread.signals.reset_for_exec();
        *self.thread.restart_block.lock() = None;
        self.forget_user_dispatch();
        let mut name = [0u8; 16];
        for (to, from) in name.iter_mut().zip(image.name.iter().take(15)) {
            *to = *from;
        }
        *self.thread.name.lock() = name;
        process.set_arch(image.arch);
        self.thread.forget_tls();
        let _ = self.thread.fast_syscalls();
        let before = core::mem::replace(&mut *process.image.write(), Arc::new(image));
        drop(before);
        host().set_segments(segments);
        if mode == CpuMode::Long {
            host().set_fs_base(fs_base);
            host().set_gs_base(0);
        }
        self.frame.mode = mode;
        *self.frame.regs = registers;
        if let Some(state) = self.frame.fp() {
            reset_fp(state);
        }
        Ok(())
    }

    /// Words of the old image that the kernel or the host would write to.
    fn forget_user_words(&mut self) -> Result<()> {
        self.give_locks();
        self.release_robust_list();
        self.thread.clear_child_tid.store(0, Ordering::Relaxed);
        self.thread.forget_rseq()
    }
}

/// The initial state of the floating-point and vector registers, in an xsave area of a signal frame.
fn reset_fp(state: &mut [u8]) {
    const CONTROL_WORD: u16 = 0x37f;
    const MXCSR: u32 = 0x1f80;
    /// From here on: the mask of MXCSR, which stays.
    const MXCSR_MASK: usize = 28;
    const REGISTERS: usize = 32;
    /// What the host says of the area.
    const RESERVED: usize = 464;
    const HEADER: core::ops::Range<usize> = 512..520;
    for range in [0..MXCSR_MASK, REGISTERS..RESERVED, HEADER] {
        // The header's first word names the components that are not in their initial state: none.
        if let Some(part) = state.get_mut(range) {
            part.fill(0);
        }
    }
    if let Some(part) = state.get_mut(0..2) {
        part.copy_from_slice(&CONTROL_WORD.to_le_bytes());
    }
    if let Some(part) = state.get_mut(24..28) {
        part.copy_from_slice(&MXCSR.to_le_bytes());
    }
}

/// The pointers of a vector up to its null; none at all for a null vector. `room` bytes are all that may be there.
fn read_pointers(vector: UserRef<UserStr>, room: u64) -> Result<Vec<u64>> {
    let mut pointers = Vec::new();
    if vector.is_null() {
        return Ok(pointers);
    }
    let words: UserRef<UserWord> = vector.at(vector.address());
    loop {
        let UserWord(pointer) = words.nth(pointers.len())?.read()?;
        if pointer == 0 {
            return Ok(pointers);
        }
        if 8 * pointers.len() as u64 >= room {
            return Err(Error::TooBig);
        }
        pointers.push(pointer);
    }
}

fn read_strings(pointers: &[u64], left: &mut u64) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    strings.try_reserve_exact(pointers.len()).map_err(|_| Error::NoMemory)?;
    for pointer in pointers {
        let string = read_string(UserStr(*pointer as usize), STRING_MAX, Error::TooBig)?;
        *left = left.checked_sub(string.len() as u64 + 1).ok_or(Error::TooBig)?;
        strings.push(string);
    }
    Ok(strings)
}
