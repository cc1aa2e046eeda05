//! The granted trees, and the requests that only read them. These can be served beside others, by a thread of their own.

use std::os::fd::OwnedFd;

use litebox_protocol::Op;
use rustix::io::Errno;

use crate::beneath::{Access, Grant, Result};
use crate::message::{Answer, Asked};
use crate::{list, lookup};

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
    /// The grant that a request names.
    pub fn grant(&self, asked: &Asked<'_>) -> Result<&Grant> {
        self.grants.get(asked.head.grant as usize).ok_or(Errno::BADF)
    }
    /// Serves a request about files ([`Op::reads`]). Returns the descriptor to go with the answer.
    pub fn read(&self, asked: &Asked<'_>, answer: &mut Answer) -> Result<Option<OwnedFd>> {
        let grant = self.grant(asked)?;
        match asked.op {
            Op::Walk => return lookup::walk(grant, asked, answer),
            Op::Open => return lookup::open(grant, asked, answer).map(Some),
            Op::List => list::list(grant, asked, answer)?,
            Op::StatFs => lookup::stat_fs(grant, asked, answer)?,
            Op::GetXattr => lookup::get_xattr(grant, asked, answer)?,
            Op::ListXattr => lookup::list_xattr(grant, asked, answer)?,
            _ => return Err(Errno::NOSYS),
        }
        Ok(None)
    }
    /// Serves one message of the socket for readers: what changes something, or concerns a tree that the sandbox may change, is refused. So nothing
    /// that is looked at here changes by a request that is served at the same time.
    pub fn serve<'a>(&self, message: &[u8], answer: &'a mut Answer) -> (&'a [u8], Option<OwnedFd>) {
        answer.clear();
        let read = |answer: &mut Answer| {
            let asked = Asked::parse(message)?;
            match self.grant(&asked)?.access {
                Access::ReadWrite => Err(Errno::ACCESS),
                Access::ReadOnly | Access::CopyOnWrite => self.read(&asked, answer),
            }
        };
        match read(answer) {
            Ok(passed) => (answer.finish(Ok(())), passed),
            Err(error) => (answer.finish(Err(error)), None),
        }
    }
}
