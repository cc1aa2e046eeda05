//! System V semaphores: sets whose members change together.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use litebox::event::{Events, Observer, Pollable, WaitQueue, wait_until_ready};
use litebox::platform::host;
use litebox::sync::Mutex;
use litebox::{Error, Result};
use litebox_common_linux::abi::ipc::{IpcGetFlags, MsgFlags, SemBuf, SemIdDs};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{UserMut, UserRef};

use super::{EIDRM, IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, Object, READ, WRITE, now};
use crate::Task;
use crate::user::{UserRead, UserWrite, duration_at, read_into, word, write_bytes};

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;
const SEM_UNDO: i16 = 0x1000;

/// Members of a set, sets, operations of one call, and the highest value: SEMMSL, SEMMNI, SEMOPM, SEMVMX.
const MOST_MEMBERS: usize = 32_000;
const MOST_SETS: usize = 32_000;
const MOST_OPERATIONS: usize = 500;
const MOST_VALUE: i32 = 32_767;
/// Members of all sets together.
const MOST_TOTAL: usize = 1 << 20;

/// One member.
#[derive(Clone, Copy, Default)]
struct Member {
    value: i32,
    /// Who changed it last.
    pid: i32,
    /// How many wait for it to grow, and to become zero.
    waiting: [u32; 2],
}

struct SetState {
    members: Vec<Member>,
    /// What is added to the members when a process ends.
    undo: BTreeMap<i32, Vec<i16>>,
    operation_time: i64,
    change_time: i64,
}

/// A set.
pub(super) struct Set {
    count: usize,
    state: Mutex<SetState>,
    queue: WaitQueue,
}

impl Set {
    /// How many members it has.
    pub(super) fn count(&self) -> usize {
        self.count
    }
    /// When it was operated on and changed last.
    pub(super) fn times(&self) -> [i64; 2] {
        let state = self.state.lock();
        [state.operation_time, state.change_time]
    }
}

/// `struct sembuf`.
#[derive(Clone, Copy)]
struct Operation {
    member: usize,
    change: i16,
    nowait: bool,
    undo: bool,
}

/// Which member an operation waits for, and whether to become zero.
type Obstacle = (usize, bool);

impl Pollable for Set {
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

impl SetState {
    /// Does all operations, or none: what stands in the way, or an error.
    fn perform(&mut self, operations: &[Operation], pid: i32) -> Result<Option<Obstacle>> {
        let mut members = self.members.clone();
        let mut undo = self.undo.get(&pid).cloned().unwrap_or_default();
        undo.resize(members.len(), 0);
        for operation in operations {
            let at = operation.member;
            let (Some(member), Some(adjust)) = (members.get_mut(at), undo.get_mut(at)) else {
                return Err(Error::FileTooBig);
            };
            let change = i32::from(operation.change);
            if change == 0 && member.value != 0 || member.value + change < 0 {
                return if operation.nowait { Err(Error::WouldBlock) } else { Ok(Some((at, change == 0))) };
            }
            if member.value + change > MOST_VALUE {
                return Err(Error::Range);
            }
            if operation.undo {
                *adjust = adjust.checked_sub(operation.change).ok_or(Error::Range)?;
            }
            member.value += change;
            member.pid = pid;
        }
        self.members = members;
        if operations.iter().any(|operation| operation.undo) {
            self.undo.insert(pid, undo);
        }
        self.operation_time = now();
        Ok(None)
    }
    fn count_waiting(&mut self, obstacle: Obstacle, more: bool) {
        let (member, zero) = obstacle;
        if let Some(count) = self.members.get_mut(member).and_then(|m| m.waiting.get_mut(usize::from(zero))) {
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
        }
    }
    /// A value was set by force: what processes did to it is not undone.
    fn forget_undo(&mut self, member: Option<usize>) {
        for adjust in self.undo.values_mut() {
            for (_, slot) in adjust.iter_mut().enumerate().filter(|(i, _)| member.is_none_or(|m| m == *i)) {
                *slot = 0;
            }
        }
    }
}

impl Set {
    /// Whether a process wants something undone here.
    pub(super) fn has_undo(&self, pid: i32) -> bool {
        self.state.lock().undo.contains_key(&pid)
    }
    /// A process ended.
    pub(super) fn undo(&self, pid: i32) {
        let mut state = self.state.lock();
        let Some(undo) = state.undo.remove(&pid) else { return };
        for (member, adjust) in state.members.iter_mut().zip(undo) {
            if adjust != 0 {
                member.value = (member.value + i32::from(adjust)).clamp(0, MOST_VALUE);
                member.pid = pid;
            }
        }
        drop(state);
        self.queue.notify(Events::all());
    }
}

impl Task<'_, '_> {
    /// semget(2)
    pub(crate) fn semget(&mut self, key: i32, count: i32, flags: IpcGetFlags) -> Result<usize> {
        let count = usize::try_from(count).ok().filter(|n| *n <= MOST_MEMBERS).ok_or(Error::Invalid)?;
        let who = self.creds();
        let system_v = &self.ipc_objects().system_v;
        let (sets, total) = (&system_v.sets, &system_v.semaphores);
        let fits = |set: &Set| if count > set.count { Err(Error::Invalid) } else { Ok(()) };
        sets.get((key, flags), &who, MOST_SETS, fits, |_| {
            if count == 0 {
                return Err(Error::Invalid);
            }
            if total.load(Ordering::Relaxed) + count > MOST_TOTAL {
                return Err(Error::NoSpace);
            }
            let mut members = Vec::new();
            members.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
            members.resize(count, Member::default());
            total.fetch_add(count, Ordering::Relaxed);
            let state = SetState { members, undo: BTreeMap::new(), operation_time: 0, change_time: now() };
            Ok(Set { count, state: Mutex::new(state), queue: WaitQueue::new() })
        })
    }

    /// semop(2)
    pub(crate) fn semop(&mut self, id: i32, operations: UserRef<SemBuf>, count: usize) -> Result<usize> {
        self.semtimedop(id, operations, count, UserRef::null())
    }

    /// semtimedop(2)
    pub(crate) fn semtimedop(
        &mut self,
        id: i32,
        operations: UserRef<SemBuf>,
        count: usize,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        let limit = duration_at(timeout)?;
        // The number of operations is 32 bits to Linux, and looked at before the set.
        let count = count as u32 as usize;
        if count > MOST_OPERATIONS {
            return Err(Error::TooBig);
        }
        let asked = (0..count).map(|i| operations.nth(i)?.read()).collect::<Result<Vec<SemBuf>>>()?;
        if count == 0 || id < 0 {
            return Err(Error::Invalid);
        }
        let operations: Vec<Operation> = asked.into_iter().map(Operation::from).collect();
        let deadline = limit.map(|limit| host().instant().saturating_add(limit));
        let set = self.ipc_objects().system_v.sets.find(id)?;
        if operations.iter().any(|operation| operation.member >= set.value.count) {
            return Err(Error::FileTooBig);
        }
        let alters = operations.iter().any(|operation| operation.change != 0);
        set.perm().check(&self.creds(), if alters { WRITE } else { READ })?;
        self.perform(&set, &operations, alters, deadline)
    }

    fn perform(
        &mut self,
        set: &Object<Set>,
        operations: &[Operation],
        alters: bool,
        deadline: Option<litebox::platform::Instant>,
    ) -> Result<usize> {
        let pid = self.process().pid;
        let mut waits_for: Option<Obstacle> = None;
        let mut refused = None;
        let once = || {
            if set.removed() {
                return Err(EIDRM);
            }
            let mut state = set.value.state.lock();
            if let Some(obstacle) = waits_for.take() {
                state.count_waiting(obstacle, false);
            }
            match state.perform(operations, pid) {
                Ok(None) => Ok(()),
                Ok(Some(obstacle)) => {
                    state.count_waiting(obstacle, true);
                    waits_for = Some(obstacle);
                    Err(Error::WouldBlock)
                }
                // Not to be waited for.
                Err(error) => {
                    refused = Some(error);
                    Ok(())
                }
            }
        };
        let outcome = wait_until_ready(self.waiter(), &set.value, Events::IN, deadline, once);
        if let Some(obstacle) = waits_for {
            set.value.state.lock().count_waiting(obstacle, false);
        }
        match outcome {
            Err(Error::TimedOut) => return Err(Error::WouldBlock),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if alters {
            set.value.queue.notify(Events::all());
        }
        Ok(0)
    }

    /// semctl(2)
    pub(crate) fn semctl(&mut self, id: i32, index: i32, command: i32, argument: u64) -> Result<usize> {
        let sets = &self.ipc_objects().system_v.sets;
        if id < 0 {
            return Err(Error::Invalid);
        }
        if matches!(command, IPC_INFO | SEM_INFO) {
            let (used, highest) = sets.figures();
            let total = self.ipc_objects().system_v.semaphores.load(Ordering::Relaxed);
            let (sets_or_20, total_or_most) =
                if command == SEM_INFO { (used, total) } else { (20, MOST_VALUE as usize) };
            let most = 1_024_000_000;
            let numbers =
                [most, MOST_SETS, most, most, MOST_MEMBERS, MOST_OPERATIONS, 500, sets_or_20, 32_767, total_or_most];
            let raw: Vec<u8> = numbers.iter().flat_map(|n| (*n as u32).to_le_bytes()).collect();
            write_bytes(argument, &raw)?;
            return Ok(highest);
        }
        let about: UserMut<SemIdDs> = UserMut::new(self.abi(), argument as usize);
        let by_index = matches!(command, SEM_STAT | SEM_STAT_ANY);
        let set = if by_index { sets.at(id as usize)? } else { sets.find(id)? };
        let who = self.creds();
        let (perm, pid) = (set.perm(), self.process().pid);
        match command {
            IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
                if command != SEM_STAT_ANY {
                    perm.check(&who, READ)?;
                }
                about.write(stat(&set))?;
                return Ok(if by_index { set.id as usize } else { 0 });
            }
            IPC_SET => {
                let new = about.read()?;
                perm.check_owner(&who)?;
                set.perm.lock().set(&new.perm)?;
                set.value.state.lock().change_time = now();
            }
            IPC_RMID => {
                perm.check_owner(&who)?;
                if sets.remove(&set) {
                    self.ipc_objects().system_v.semaphores.fetch_sub(set.value.count, Ordering::Relaxed);
                }
                set.value.queue.notify(Events::all());
            }
            GETALL => {
                perm.check(&who, READ)?;
                let values: Vec<u8> = {
                    let state = set.value.state.lock();
                    state.members.iter().flat_map(|member| (member.value as u16).to_le_bytes()).collect()
                };
                write_bytes(argument, &values)?;
            }
            SETALL => {
                perm.check(&who, WRITE)?;
                set_all(&set.value, argument, pid)?;
            }
            GETVAL | GETPID | GETNCNT | GETZCNT | SETVAL => {
                perm.check(&who, if command == SETVAL { WRITE } else { READ })?;
                return one_member(&set.value, index, command, argument as i32, pid);
            }
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }
}

impl From<SemBuf> for Operation {
    fn from(SemBuf { member, change, flags }: SemBuf) -> Self {
        let nowait = MsgFlags(flags.into()).contains(MsgFlags::IPC_NOWAIT);
        Self { member: member.into(), change, nowait, undo: flags & SEM_UNDO != 0 }
    }
}

/// What semctl(2) asks of one member, or sets.
fn one_member(set: &Set, index: i32, command: i32, value: i32, pid: i32) -> Result<usize> {
    if command == SETVAL && !(0..=MOST_VALUE).contains(&value) {
        return Err(Error::Range);
    }
    let index = usize::try_from(index).ok().filter(|i| *i < set.count).ok_or(Error::Invalid)?;
    let mut state = set.state.lock();
    let member = state.members.get_mut(index).ok_or(Error::Invalid)?;
    let [growing, zero] = member.waiting;
    let answer = match command {
        GETVAL => member.value,
        GETPID => member.pid,
        GETNCNT => growing as i32,
        GETZCNT => zero as i32,
        _ => {
            (member.value, member.pid) = (value, pid);
            state.forget_undo(Some(index));
            state.change_time = now();
            drop(state);
            set.queue.notify(Events::all());
            0
        }
    };
    Ok(answer as usize)
}

fn set_all(set: &Set, values: u64, pid: i32) -> Result<()> {
    let mut raw = Vec::new();
    raw.try_reserve_exact(set.count * 2).map_err(|_| Error::NoMemory)?;
    raw.resize(set.count * 2, 0);
    read_into(values, &mut raw)?;
    let values: Vec<i32> = raw.chunks_exact(2).map(|raw| u16::from_le_bytes(word(raw, 0)).into()).collect();
    if values.iter().any(|value| *value > MOST_VALUE) {
        return Err(Error::Range);
    }
    let mut state = set.state.lock();
    for (member, value) in state.members.iter_mut().zip(values) {
        (member.value, member.pid) = (value, pid);
    }
    state.forget_undo(None);
    state.change_time = now();
    drop(state);
    set.queue.notify(Events::all());
    Ok(())
}

/// What `IPC_STAT` tells.
fn stat(set: &Object<Set>) -> SemIdDs {
    let perm = set.perm().of(set.id);
    let state = set.value.state.lock();
    SemIdDs {
        perm,
        operation_time: state.operation_time as u64,
        change_time: state.change_time as u64,
        count: set.value.count as u64,
        ..SemIdDs::default()
    }
}
