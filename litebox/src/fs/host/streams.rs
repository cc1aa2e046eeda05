//! Waiting for the standard streams of the sandbox: the supervisor watches them at the host, and says here when one
//! changed.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use crate::event::{Events, Observer, WaitQueue};
use crate::platform::{HostFd, host};
use crate::sync::Mutex;

/// Who waits for one stream.
#[derive(Default)]
struct Watch {
    queue: WaitQueue,
    /// The host tells of changes. Outside of the queue's lock.
    armed: Mutex<bool>,
}

/// Who waits for which of descriptors 0, 1 and 2, and of the streams that were passed to us later. The token of a watch
/// at the host is the descriptor's number.
#[derive(Default)]
pub struct Streams {
    watches: [Arc<Watch>; 3],
    passed: Mutex<BTreeMap<i32, Arc<Watch>>>,
}

/// A stream that was passed to us, and is closed with its last user.
pub(super) struct PassedStream {
    fd: HostFd,
    streams: Arc<Streams>,
}

impl PassedStream {
    /// Owns `fd` from now on.
    pub(super) fn new(fd: HostFd, streams: &Arc<Streams>) -> Arc<Self> {
        streams.passed.lock().insert(fd.0, Arc::default());
        Arc::new(Self { fd, streams: streams.clone() })
    }
}

impl Drop for PassedStream {
    fn drop(&mut self) {
        let watch = self.streams.passed.lock().remove(&self.fd.0);
        if watch.is_some_and(|watch| *watch.armed.lock()) {
            // The other end keeps the file open: the host would go on to watch it.
            let _ = host().host_watch(self.fd, 0, 0);
        }
        host().host_close(self.fd);
    }
}

impl Streams {
    /// Nobody waits yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    fn watch(&self, fd: HostFd) -> Option<Arc<Watch>> {
        let standard = self.watches.get(usize::try_from(fd.0).ok()?);
        standard.cloned().or_else(|| self.passed.lock().get(&fd.0).cloned())
    }
    /// Adds `observer`; `false`: the host says that this kind of file is always ready.
    pub(super) fn observe(&self, fd: HostFd, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        let Some(watch) = self.watch(fd) else { return false };
        watch.queue.add(observer, interest);
        let mut armed = watch.armed.lock();
        if !*armed {
            let all = Events::IN | Events::OUT | Events::PRI | Events::RDHUP;
            *armed = host().host_watch(fd, all.bits() as u16, u64::from(fd.0.unsigned_abs())).is_ok();
        }
        if !*armed {
            drop(armed);
            watch.queue.remove(observer);
            return false;
        }
        true
    }
    pub(super) fn unobserve(&self, fd: HostFd, observer: &Arc<dyn Observer>) {
        if let Some(watch) = self.watch(fd) {
            watch.queue.remove(observer);
        }
    }
    /// The host says that the stream with this token changed. When nobody waits, it need not say so again.
    pub fn changed(&self, token: u64, events: u16) {
        let Some((fd, watch)) = i32::try_from(token).ok().and_then(|fd| Some((HostFd(fd), self.watch(HostFd(fd))?)))
        else {
            return;
        };
        let mut armed = watch.armed.lock();
        if watch.queue.is_empty() {
            // Refused only when it is not watched any more.
            let _ = host().host_watch(fd, 0, token);
            *armed = false;
            return;
        }
        drop(armed);
        watch.queue.notify(Events::from_bits_truncate(events.into()));
    }
}
