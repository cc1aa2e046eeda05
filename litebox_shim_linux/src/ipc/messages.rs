//! System V message queues.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox::event::{Events, Observer, Pollable, WaitQueue, wait_until_ready};
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::ipc::{IpcGetFlags, MsgFlags, MsqIdDs};
use litebox_common_linux::argument::{UserMut, UserRef};

use super::{EIDRM, ENOMSG, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Object, READ, WRITE, now};
use crate::Task;
use crate::task::Capability;
use crate::user::{UserRead, UserWrite, read_into, write_bytes};

const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

/// Bytes of a message, of a queue, and queues: msgmax, msgmnb, msgmni.
const MOST_MESSAGE: usize = 8192;
const MOST_BYTES: u64 = 16_384;
const MOST_QUEUES: usize = 32_000;
/// Bytes of the messages in all queues: it is the kernel's memory.
const MOST_IN_ALL: u64 = 64 << 20;

struct Message {
    kind: i64,
    text: Vec<u8>,
}

struct QueueState {
    messages: VecDeque<Message>,
    bytes: u64,
    most_bytes: u64,
    send_time: i64,
    receive_time: i64,
    change_time: i64,
    last_sender: i32,
    last_receiver: i32,
}

/// A queue.
pub(super) struct Queue {
    state: Mutex<QueueState>,
    queue: WaitQueue,
}

/// What a listing says of a queue.
pub(super) struct QueueFigures {
    pub(super) bytes: u64,
    pub(super) messages: usize,
    /// Who sent and received last.
    pub(super) people: [i32; 2],
    /// When something was sent, received, and changed last.
    pub(super) times: [i64; 3],
}

impl Queue {
    pub(super) fn figures(&self) -> QueueFigures {
        let state = self.state.lock();
        QueueFigures {
            bytes: state.bytes,
            messages: state.messages.len(),
            people: [state.last_sender, state.last_receiver],
            times: [state.send_time, state.receive_time, state.change_time],
        }
    }
}

impl Pollable for Queue {
    fn ready(&self) -> Events {
        Events::empty()
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
}

/// Which message a receiver wants.
#[derive(Clone, Copy)]
enum MessageFilter {
    Any,
    Kind(i64),
    Not(i64),
    /// The lowest kind up to this one.
    Lowest(i64),
    /// The one at this place, which stays.
    Copy(usize),
}

impl QueueState {
    fn find(&self, wanted: MessageFilter) -> Option<usize> {
        let mut kinds = self.messages.iter().map(|message| message.kind);
        match wanted {
            MessageFilter::Any => (!self.messages.is_empty()).then_some(0),
            MessageFilter::Kind(kind) => kinds.position(|k| k == kind),
            MessageFilter::Not(kind) => kinds.position(|k| k != kind),
            MessageFilter::Lowest(most) => {
                let (at, kind) = kinds.enumerate().min_by_key(|(at, kind)| (*kind, *at))?;
                (kind <= most).then_some(at)
            }
            MessageFilter::Copy(at) => (at < self.messages.len()).then_some(at),
        }
    }
    /// Nothing is in it any more, and nothing fits; how many bytes were.
    fn empty(&mut self) -> u64 {
        self.messages.clear();
        self.most_bytes = 0;
        core::mem::take(&mut self.bytes)
    }
    fn has_room(&self, len: usize) -> bool {
        self.bytes + len as u64 <= self.most_bytes && (self.messages.len() as u64) < self.most_bytes
    }
}

impl Task<'_, '_> {
    /// msgget(2)
    pub(crate) fn msgget(&mut self, key: i32, flags: IpcGetFlags) -> Result<usize> {
        let who = self.creds();
        self.ipc_objects().system_v.queues.get(
            (key, flags),
            &who,
            MOST_QUEUES,
            |_| Ok(()),
            |_| {
                let state = QueueState {
                    messages: VecDeque::new(),
                    bytes: 0,
                    most_bytes: MOST_BYTES,
                    send_time: 0,
                    receive_time: 0,
                    change_time: now(),
                    last_sender: 0,
                    last_receiver: 0,
                };
                Ok(Queue { state: Mutex::new(state), queue: WaitQueue::new() })
            },
        )
    }

    /// Tries `op` on a queue until it works, the queue is removed or a signal comes.
    fn wait_for_queue<T>(
        &mut self,
        queue: &Object<Queue>,
        interest: Events,
        patient: bool,
        mut op: impl FnMut(&mut QueueState) -> Result<T>,
    ) -> Result<T> {
        let once = || {
            if queue.removed() {
                return Err(EIDRM);
            }
            op(&mut queue.value.state.lock())
        };
        if !patient {
            let mut once = once;
            return once();
        }
        wait_until_ready(self.waiter(), &queue.value, interest, None, once)
    }

    /// msgsnd(2)
    pub(crate) fn msgsnd(&mut self, id: i32, message: UserRef<()>, size: isize, flags: MsgFlags) -> Result<usize> {
        let head: UserRef<isize> = message.cast();
        let kind = head.read()? as i64;
        let size = usize::try_from(size).map_err(|_| Error::Invalid)?;
        if size > MOST_MESSAGE || id < 0 || kind < 1 {
            return Err(Error::Invalid);
        }
        let mut text = Vec::new();
        text.try_reserve_exact(size).map_err(|_| Error::NoMemory)?;
        text.resize(size, 0);
        read_into(head.nth(1)?.address() as u64, &mut text)?;
        let queue = self.ipc_objects().system_v.queues.find(id)?;
        queue.perm().check(&self.creds(), WRITE)?;
        let (pid, container) = (self.process().pid, self.process().container.clone());
        let all = &container.ipc.system_v.message_bytes;
        self.wait_for_queue(&queue, Events::OUT, !flags.contains(MsgFlags::IPC_NOWAIT), |state| {
            if !state.has_room(size) {
                return Err(Error::WouldBlock);
            }
            if all.load(Ordering::Relaxed) + size as u64 > MOST_IN_ALL {
                return Err(Error::NoMemory);
            }
            state.messages.try_reserve(1).map_err(|_| Error::NoMemory)?;
            state.messages.push_back(Message { kind, text: core::mem::take(&mut text) });
            state.bytes += size as u64;
            all.fetch_add(size as u64, Ordering::Relaxed);
            (state.send_time, state.last_sender) = (now(), pid);
            Ok(())
        })?;
        queue.value.queue.notify(Events::IN);
        Ok(0)
    }

    /// msgrcv(2)
    pub(crate) fn msgrcv(
        &mut self,
        id: i32,
        message: UserMut<()>,
        size: isize,
        kind: i64,
        flags: MsgFlags,
    ) -> Result<usize> {
        let size = usize::try_from(size).map_err(|_| Error::Invalid)?;
        if id < 0 {
            return Err(Error::Invalid);
        }
        let copies = flags.contains(MsgFlags::MSG_COPY);
        if copies && (flags.contains(MsgFlags::MSG_EXCEPT) || !flags.contains(MsgFlags::IPC_NOWAIT)) {
            return Err(Error::Invalid);
        }
        let wanted = match kind {
            _ if copies => MessageFilter::Copy(usize::try_from(kind).unwrap_or(usize::MAX)),
            0 => MessageFilter::Any,
            ..0 => MessageFilter::Lowest(kind.checked_neg().unwrap_or(i64::MAX)),
            _ if flags.contains(MsgFlags::MSG_EXCEPT) => MessageFilter::Not(kind),
            _ => MessageFilter::Kind(kind),
        };
        let queue = self.ipc_objects().system_v.queues.find(id)?;
        queue.perm().check(&self.creds(), READ)?;
        let (pid, cut) = (self.process().pid, flags.contains(MsgFlags::MSG_NOERROR));
        let container = self.process().container.clone();
        let got = self.wait_for_queue(&queue, Events::IN, !flags.contains(MsgFlags::IPC_NOWAIT), |state| {
            let at = state.find(wanted).ok_or(Error::WouldBlock)?;
            let there = state.messages.get(at).ok_or(Error::WouldBlock)?;
            if there.text.len() > size && !cut {
                return Err(Error::TooBig);
            }
            if copies {
                // A copy is whole, whatever MSG_NOERROR says.
                if there.text.len() > size {
                    return Err(Error::Invalid);
                }
                return Ok(Message { kind: there.kind, text: there.text.clone() });
            }
            let taken = state.messages.remove(at).ok_or(Error::WouldBlock)?;
            state.bytes = state.bytes.saturating_sub(taken.text.len() as u64);
            container.ipc.system_v.message_bytes.fetch_sub(taken.text.len() as u64, Ordering::Relaxed);
            (state.receive_time, state.last_receiver) = (now(), pid);
            Ok(taken)
        });
        let got = got.map_err(|error| if error == Error::WouldBlock { ENOMSG } else { error })?;
        queue.value.queue.notify(Events::OUT);
        let text = got.text.get(..size.min(got.text.len())).unwrap_or_default();
        let head: UserMut<isize> = message.cast();
        head.write(got.kind as isize)?;
        write_bytes(head.nth(1)?.address() as u64, text)?;
        Ok(text.len())
    }

    /// msgctl(2)
    pub(crate) fn msgctl(&mut self, id: i32, command: i32, buf: UserMut<()>) -> Result<usize> {
        let about: UserMut<MsqIdDs> = buf.cast();
        let queues = &self.ipc_objects().system_v.queues;
        if id < 0 || command < 0 {
            return Err(Error::Invalid);
        }
        if matches!(command, IPC_INFO | MSG_INFO) {
            return write_info(queues, command == MSG_INFO, buf.address() as u64);
        }
        let by_index = matches!(command, MSG_STAT | MSG_STAT_ANY);
        let queue = if by_index { queues.at(id as usize)? } else { queues.find(id)? };
        let who = self.creds();
        match command {
            IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
                if command != MSG_STAT_ANY {
                    queue.perm().check(&who, READ)?;
                }
                about.write(stat(&queue))?;
                return Ok(if by_index { queue.id as usize } else { 0 });
            }
            IPC_SET => {
                let new = about.read()?;
                queue.perm().check_owner(&who)?;
                let most = new.most_bytes;
                if most > MOST_BYTES && !who.can(Capability::SysResource) {
                    return Err(Error::NotPermitted);
                }
                queue.perm.lock().set(&new.perm)?;
                let mut state = queue.value.state.lock();
                (state.most_bytes, state.change_time) = (most, now());
                drop(state);
                queue.value.queue.notify(Events::all());
            }
            IPC_RMID => {
                queue.perm().check_owner(&who)?;
                queues.remove(&queue);
                let left = queue.value.state.lock().empty();
                self.ipc_objects().system_v.message_bytes.fetch_sub(left, Ordering::Relaxed);
                queue.value.queue.notify(Events::all());
            }
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }
}

/// `struct msginfo`; with `used`, what there is takes the place of some limits.
fn write_info(queues: &super::Table<Queue>, used: bool, buf: u64) -> Result<usize> {
    let (count, highest) = queues.figures();
    let (mut messages, mut bytes) = (0, 0);
    for queue in queues.all() {
        let state = queue.value.state.lock();
        messages += state.messages.len();
        bytes += state.bytes as usize;
    }
    let (pool, map, total) =
        if used { (count, messages, bytes) } else { (MOST_QUEUES * MOST_BYTES as usize / 1024, 16_384, 16_384) };
    let numbers = [pool, map, MOST_MESSAGE, MOST_BYTES as usize, MOST_QUEUES, 16, total, 0xffff];
    let raw: Vec<u8> = numbers.iter().flat_map(|n| (*n as u32).to_le_bytes()).collect();
    write_bytes(buf, &raw)?;
    Ok(highest)
}

/// What `IPC_STAT` tells.
fn stat(queue: &Object<Queue>) -> MsqIdDs {
    let perm = queue.perm().of(queue.id);
    let state = queue.value.state.lock();
    MsqIdDs {
        perm,
        send_time: state.send_time as u64,
        receive_time: state.receive_time as u64,
        change_time: state.change_time as u64,
        bytes: state.bytes,
        messages: state.messages.len() as u64,
        most_bytes: state.most_bytes,
        last_sender: state.last_sender,
        last_receiver: state.last_receiver,
        tail: (),
    }
}
