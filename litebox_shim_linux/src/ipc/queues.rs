//! POSIX message queues (mq_overview(7)).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use litebox::error::errno::EMSGSIZE;
use litebox::event::{Events, Observer, WaitQueue, wait_until_ready};
use litebox::fs::{Access, AnonInode, File, Inode, OpenFile, StatusFlags};
use litebox::io::Dest;
use litebox::platform::{ClockId, Instant, host};
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{O_NONBLOCK, OpenFlags};
use litebox_common_linux::abi::ipc::MqAttr;
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{UserMut, UserRef, UserStr};

use super::notify::Registration;
use super::{READ, WRITE};
use crate::Task;
use crate::ipc::Perm;
use crate::task::Capability;
use crate::user::{UserRead, UserWrite, duration_at, read_into, read_string, write_bytes};

/// Longest name, with its zero.
const LONGEST_NAME: usize = 256;
/// Queues, messages of one, bytes of a message: those of /proc/sys/fs/mqueue. The superuser may have more messages and
/// longer ones.
const MOST_QUEUES: usize = 256;
const MOST_MESSAGES: i64 = 10;
const MOST_SIZE: i64 = 8192;
const MOST_MESSAGES_OF_ROOT: i64 = 65_536;
const MOST_SIZE_OF_ROOT: i64 = 16 << 20;
/// Bytes that all messages of a queue may have together (RLIMIT_MSGQUEUE).
const MOST_BYTES: i64 = 819_200;
/// Priorities lie below this.
const PRIORITIES: u32 = 32_768;

#[derive(Default)]
pub(super) struct QueueState {
    /// By descending priority: the texts, oldest first.
    messages: BTreeMap<core::cmp::Reverse<u32>, VecDeque<Vec<u8>>>,
    count: i64,
    bytes: usize,
    receivers: u32,
    pub registration: Option<Registration>,
}

/// A queue.
pub(super) struct MessageQueue {
    perm: Perm,
    most: i64,
    size: i64,
    pub state: Mutex<QueueState>,
    queue: WaitQueue,
    inode: Arc<AnonInode>,
}

/// All queues of a sandbox, by name.
#[derive(Default)]
pub struct MessageQueues(Mutex<BTreeMap<Vec<u8>, Arc<MessageQueue>>>);

/// An open queue.
struct QueueFile(Arc<MessageQueue>);

impl File for QueueFile {
    /// Who closes a queue is not told of its messages any more.
    fn flush(&self) -> Result<()> {
        let closer = crate::proc::current_thread().map(|thread| thread.process.pid);
        let removed = self.0.state.lock().registration.take_if(|there| Some(there.pid) == closer);
        if let Some(removed) = removed {
            removed.removed();
        }
        Ok(())
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.0.inode.clone()
    }
    /// What is in the queue, as text.
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        let text = {
            let state = self.0.state.lock();
            let (pid, kind, signal) = state.registration.as_ref().map_or((0, 0, 0), |r| (r.pid, r.kind(), r.signal()));
            alloc::format!("QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", state.bytes)
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        dest.put(text.as_bytes().get(from..).unwrap_or_default())
    }
    fn ready(&self) -> Events {
        let count = self.0.state.lock().count;
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, count > 0);
        events.set(Events::OUT | Events::WRNORM, count < self.0.most);
        events
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.0.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.0.queue.remove(observer);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl MessageQueue {
    /// Adds a message; who is to be told that the queue is no longer empty.
    fn put(&self, text: &mut Vec<u8>, priority: u32) -> Result<Option<Registration>> {
        let mut state = self.state.lock();
        if state.count >= self.most {
            return Err(Error::WouldBlock);
        }
        state.bytes += text.len();
        state.messages.entry(core::cmp::Reverse(priority)).or_default().push_back(core::mem::take(text));
        state.count += 1;
        let told = if state.count == 1 && state.receivers == 0 { state.registration.take() } else { None };
        drop(state);
        self.queue.notify(Events::IN | Events::RDNORM);
        Ok(told)
    }
    fn take(&self) -> Result<(Vec<u8>, u32)> {
        let mut state = self.state.lock();
        let mut first = state.messages.first_entry().ok_or(Error::WouldBlock)?;
        let priority = first.key().0;
        let text = first.get_mut().pop_front().ok_or(Error::WouldBlock)?;
        if first.get().is_empty() {
            first.remove();
        }
        state.count -= 1;
        state.bytes -= text.len();
        drop(state);
        self.queue.notify(Events::OUT | Events::WRNORM);
        Ok((text, priority))
    }
    fn attr(&self, flags: i64) -> MqAttr {
        let count = self.state.lock().count;
        MqAttr { flags, most: self.most, size: self.size, count, tail: () }
    }
}

impl Task<'_, '_> {
    fn queue_name(name: UserStr) -> Result<Vec<u8>> {
        let name = read_string(name, LONGEST_NAME, Error::NameTooLong)?;
        match name.as_slice() {
            [] => Err(Error::NotFound),
            name if name.contains(&b'/') => Err(Error::Access),
            _ => Ok(name),
        }
    }

    /// mq_open(2). The library has taken the slash off the name.
    pub(crate) fn mq_open(
        &mut self,
        name: UserStr,
        flags: OpenFlags,
        mode: u32,
        attributes: UserRef<MqAttr>,
    ) -> Result<usize> {
        let attributes = attributes.read_if_given()?;
        let name = Self::queue_name(name)?;
        let (access, wanted) = match flags & OpenFlags::O_ACCMODE {
            OpenFlags::O_RDONLY => (Access::READ, READ),
            OpenFlags::O_WRONLY => (Access::WRITE, WRITE),
            OpenFlags::O_RDWR => (Access::READ | Access::WRITE, READ | WRITE),
            // Neither: good for making one alone.
            _ => (Access::empty(), 0),
        };
        let who = self.process().creds();
        let umask = self.thread.fs.umask.load(core::sync::atomic::Ordering::Relaxed);
        let queue = {
            let mut queues = self.ipc_objects().message_queues.0.lock();
            match queues.get(&name) {
                Some(_) if flags.contains(OpenFlags::O_CREAT | OpenFlags::O_EXCL) => return Err(Error::Exists),
                Some(_) if access.is_empty() => return Err(Error::Invalid),
                Some(there) => {
                    there.perm.check_or(&who, wanted, Capability::DacOverride)?;
                    there.clone()
                }
                None if !flags.contains(OpenFlags::O_CREAT) => return Err(Error::NotFound),
                None => {
                    if queues.len() >= MOST_QUEUES {
                        return Err(Error::NoSpace);
                    }
                    let (most, size) = limits(attributes, who.euid == 0)?;
                    let (uid, gid) = (who.fsuid, who.fsgid);
                    let perm = Perm { key: 0, uid, gid, creator: (uid, gid), mode: mode & !umask & 0o777 };
                    let state = Mutex::default();
                    let inode = AnonInode::shared("mqueue");
                    let queue = Arc::new(MessageQueue { perm, most, size, state, queue: WaitQueue::new(), inode });
                    queues.insert(name, queue.clone());
                    queue
                }
            }
        };
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags.contains(OpenFlags::O_NONBLOCK));
        let file = self.nameless(Arc::new(QueueFile(queue)), access, status);
        self.install(file, true)
    }

    /// mq_unlink(2)
    pub(crate) fn mq_unlink(&mut self, name: UserStr) -> Result<usize> {
        let name = Self::queue_name(name)?;
        let who = self.process().creds();
        let mut queues = self.ipc_objects().message_queues.0.lock();
        let queue = queues.get(&name).ok_or(Error::NotFound)?;
        if who.fsuid != queue.perm.uid && !who.can(Capability::FileOwner) {
            return Err(Error::NotPermitted);
        }
        queues.remove(&name);
        Ok(0)
    }

    /// The open queue behind a descriptor; EBADF for anything else.
    pub(super) fn queue_file(&self, fd: i32, access: Access) -> Result<(Arc<OpenFile>, Arc<MessageQueue>)> {
        let file = self.file(fd)?;
        let queue = file.file.as_any().downcast_ref::<QueueFile>().ok_or(Error::BadDescriptor)?.0.clone();
        if file.access.contains(access) { Ok((file, queue)) } else { Err(Error::BadDescriptor) }
    }

    /// mq_timedsend(2)
    pub(crate) fn mq_timedsend(
        &mut self,
        fd: i32,
        message: u64,
        len: usize,
        priority: u32,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        let deadline = read_deadline(timeout)?;
        if priority >= PRIORITIES {
            return Err(Error::Invalid);
        }
        let (file, queue) = self.queue_file(fd, Access::WRITE)?;
        if i64::try_from(len).map_or(true, |len| len > queue.size) {
            return Err(EMSGSIZE);
        }
        let mut text = Vec::new();
        text.try_reserve_exact(len).map_err(|_| Error::NoMemory)?;
        text.resize(len, 0);
        read_into(message, &mut text)?;
        let mut once = || queue.put(&mut text, priority);
        let sent = if file.nonblocking() {
            once()
        } else {
            wait_until_ready(self.waiter(), &*file, Events::OUT, deadline, once)
        };
        let told = sent.map_err(|error| self.restartable(error))?;
        if let Some(who) = told {
            who.tell(self.kernel(), (self.process().pid, self.process().creds().uid));
        }
        Ok(0)
    }

    /// mq_timedreceive(2)
    pub(crate) fn mq_timedreceive(
        &mut self,
        fd: i32,
        message: u64,
        len: usize,
        priority: UserMut<u32>,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        let deadline = read_deadline(timeout)?;
        let (file, queue) = self.queue_file(fd, Access::READ)?;
        if i64::try_from(len).is_ok_and(|len| len < queue.size) {
            return Err(EMSGSIZE);
        }
        let got = if file.nonblocking() {
            queue.take()
        } else {
            queue.state.lock().receivers += 1;
            let got = wait_until_ready(self.waiter(), &*file, Events::IN, deadline, || queue.take());
            queue.state.lock().receivers -= 1;
            got
        };
        let (text, of) = got.map_err(|error| self.restartable(error))?;
        write_bytes(message, &text)?;
        priority.write_if_given(of)?;
        Ok(text.len())
    }

    /// mq_getsetattr(2)
    pub(crate) fn mq_getsetattr(&mut self, fd: i32, new: UserRef<MqAttr>, old: UserMut<MqAttr>) -> Result<usize> {
        let flags = new.read_if_given()?.map(|new| new.flags);
        if flags.is_some_and(|flags| flags & !i64::from(O_NONBLOCK) != 0) {
            return Err(Error::Invalid);
        }
        let (file, queue) = self.queue_file(fd, Access::empty())?;
        let before = queue.attr(if file.nonblocking() { O_NONBLOCK.into() } else { 0 });
        if let Some(flags) = flags {
            let mut status = file.flags();
            status.set(StatusFlags::NONBLOCK, flags != 0);
            file.set_flags(status)?;
        }
        old.write_if_given(before).map(|()| 0)
    }
}

/// How many messages of which size a new queue holds.
fn limits(attributes: Option<MqAttr>, privileged: bool) -> Result<(i64, i64)> {
    let Some(MqAttr { most, size, .. }) = attributes else { return Ok((MOST_MESSAGES, MOST_SIZE)) };
    let (many, long) = if privileged { (MOST_MESSAGES_OF_ROOT, MOST_SIZE_OF_ROOT) } else { (MOST_MESSAGES, MOST_SIZE) };
    if !(1..=many).contains(&most) || !(1..=long).contains(&size) {
        return Err(Error::Invalid);
    }
    // Each message has a head of its own, as Linux counts.
    if most * (size + 48) > MOST_BYTES { Err(Error::TooManyFiles) } else { Ok((most, size)) }
}

/// A time limit on the wall clock, on the one that waiting counts by.
fn read_deadline(limit: UserRef<Timespec>) -> Result<Option<Instant>> {
    let Some(until) = duration_at(limit)? else { return Ok(None) };
    Ok(Some(host().instant().saturating_add(until.saturating_sub(host().now(ClockId::Realtime)))))
}
