//! The granted trees, and the requests that only read them. These can be served beside others, by a thread of their
//! own.

use std::os::fd::OwnedFd;

use litebox_protocol::Op;
use rustix::io::Errno;

use crate::beneath::{Access, Grant, Result};
use crate::message::{ParsedRequest, ReplyBuilder};
use crate::{list, lookup, walk};

/// What the sandbox may reach, numbered as it stands.
#[derive(Debug)]
pub struct Files {
    grants: Vec<Grant>,
}

impl Files {
    /// These grants.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants }
    }
    /// All of them, in order.
    pub fn grants(&self) -> &[Grant] {
        &self.grants
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
    pub fn grant(&self, request: &ParsedRequest<'_>) -> Result<&Grant> {
        self.grants.get(request.head.grant as usize).ok_or(Errno::BADF)
    }
    /// Serves a request about files ([`Op::reads`]). Returns the descriptor to go with the answer.
    pub fn read(&self, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<Option<OwnedFd>> {
        let grant = self.grant(request)?;
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
    /// Serves one message of the socket for readers: what changes something, or concerns a tree that the sandbox may
    /// change, is refused. So nothing that is looked at here changes by a request that is served at the same time.
    pub fn serve<'a>(&self, message: &[u8], reply: &'a mut ReplyBuilder) -> (&'a [u8], Option<OwnedFd>) {
        reply.begin(message);
        let read = |reply: &mut ReplyBuilder| {
            let request = ParsedRequest::parse(message, None)?;
            match self.grant(&request)?.access {
                Access::ReadWrite => Err(Errno::ACCESS),
                Access::ReadOnly | Access::CopyOnWrite => self.read(&request, reply),
            }
        };
        match read(reply) {
            Ok(passed) => (reply.finish(Ok(())), passed),
            Err(error) => (reply.finish(Err(error)), None),
        }
    }
}
