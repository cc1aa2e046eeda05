//! The granted trees, and the requests that only read them. These can be served beside others, by a thread of their
//! own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};

use litebox_protocol::Op;
use rustix::io::Errno;

use crate::beneath::{Access, Grant, Result};
use crate::message::{ParsedRequest, ReplyBuilder};
use crate::{list, lookup, walk};

/// Most grants that are added while the sandbox runs: each keeps a descriptor open.
const MOST_LATER: usize = 4096;

/// What the sandbox may reach: what it was started with, numbered as it stands, and what was added while it ran.
#[derive(Debug)]
pub struct Files {
    grants: Vec<Grant>,
    later: RwLock<Later>,
}

/// Grants that were added. No number is used twice.
#[derive(Debug)]
struct Later {
    grants: BTreeMap<u32, Arc<Grant>>,
    next: u32,
}

/// A grant, for one request.
pub enum GrantRef<'a> {
    /// One that the sandbox was started with.
    First(&'a Grant),
    /// One that was added.
    Later(Arc<Grant>),
}

impl Deref for GrantRef<'_> {
    type Target = Grant;
    fn deref(&self) -> &Grant {
        match self {
            Self::First(grant) => grant,
            Self::Later(grant) => grant,
        }
    }
}

impl Files {
    /// These grants.
    pub fn new(grants: Vec<Grant>) -> Self {
        let next = u32::try_from(grants.len()).unwrap_or(u32::MAX);
        Self { grants, later: RwLock::new(Later { grants: BTreeMap::new(), next }) }
    }
    /// Those that the sandbox was started with, in order.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }
    /// Adds one. Its number.
    pub fn add(&self, grant: Grant) -> Result<u32> {
        let mut later = self.later.write().unwrap_or_else(PoisonError::into_inner);
        if later.grants.len() >= MOST_LATER {
            return Err(Errno::MFILE);
        }
        let number = later.next;
        later.next = number.checked_add(1).ok_or(Errno::MFILE)?;
        later.grants.insert(number, Arc::new(grant));
        Ok(number)
    }
    /// Takes one away that was added.
    pub fn remove(&self, number: u32) {
        let removed = self.later.write().unwrap_or_else(PoisonError::into_inner).grants.remove(&number);
        drop(removed);
    }
    /// Runs `work`, which serves requests that were all made before the first is answered.
    pub fn in_a_row<T>(&self, work: impl FnOnce() -> T) -> T {
        let set = |in_a_row| self.grants.iter().for_each(|grant| grant.last.set_in_a_row(in_a_row));
        set(true);
        let done = work();
        set(false);
        done
    }
    /// The grant that a request names.
    pub fn grant(&self, request: &ParsedRequest<'_>) -> Result<GrantRef<'_>> {
        let number = request.head.grant;
        if let Some(grant) = self.grants.get(number as usize) {
            return Ok(GrantRef::First(grant));
        }
        let later = self.later.read().unwrap_or_else(PoisonError::into_inner);
        later.grants.get(&number).cloned().map(GrantRef::Later).ok_or(Errno::BADF)
    }
    /// Serves a request about files ([`Op::reads`]). Returns the descriptor to go with the answer.
    pub fn read(&self, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<Option<OwnedFd>> {
        let grant = &self.grant(request)?;
        match request.op {
            Op::Walk => return walk::walk(grant, request, reply),
            Op::Open => return lookup::open(grant, request, reply).map(Some),
            Op::List => list::list(grant, request, reply)?,
            Op::StatFs => lookup::stat_fs(grant, request, reply)?,
            Op::GetXattr => lookup::get_xattr(grant, request, reply)?,
            Op::ListXattr => lookup::list_xattr(grant, request, reply)?,
            _ => return Err(Errno::NOSYS),
        }
        Ok(None)
    }
    /// Serves one message of the socket for readers: what changes something is refused. Of a tree that the sandbox may
    /// change only listings are told: by a request that is served at the same time it can change no more than others
    /// can at any time, and a listing passes no descriptor.
    pub fn serve<'a>(&self, message: &[u8], reply: &'a mut ReplyBuilder) -> (&'a [u8], Option<OwnedFd>) {
        reply.begin(message);
        let read = |reply: &mut ReplyBuilder| {
            let request = ParsedRequest::parse(message, None)?;
            match self.grant(&request)?.access {
                Access::ReadWrite if request.op != Op::List => Err(Errno::ACCESS),
                _ => self.read(&request, reply),
            }
        };
        match read(reply) {
            Ok(passed) => (reply.finish(Ok(())), passed),
            Err(error) => (reply.finish(Err(error)), None),
        }
    }
}
