//! Where bytes come from and go to: cursors over guest memory or kernel memory.
//!
//! File systems fill a [`Dest`] and drain a [`Source`] without knowing which it is. A fault ends the transfer early;
//! the caller reports the bytes moved so far, or `Fault` when there were none.

use crate::platform::host;
use crate::{Error, Result};

/// A stretch of memory: `addr` and `len` in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub addr: usize,
    /// Length in bytes.
    pub len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AddressOf {
    User,
    Kernel,
}

#[derive(Clone)]
struct Cursor<'a> {
    of: AddressOf,
    one: [Span; 1],
    many: Option<&'a [Span]>,
    index: usize,
    within: usize,
    left: usize,
    moved: usize,
}

impl Cursor<'_> {
    fn spans(&self) -> &[Span] {
        self.many.unwrap_or(&self.one)
    }
    /// A transfer stopped at the present place, which could not be accessed: whether it can be now, because the map of
    /// memory had only to catch up with its file.
    fn comes_back(&self, write: bool) -> bool {
        match (&self.of, self.current()) {
            (AddressOf::User, Some(span)) => crate::platform::north::north().resolve_fault(span.addr, write),
            _ => false,
        }
    }
    /// The rest of the current span.
    fn current(&self) -> Option<Span> {
        // A limit ends the transfer before the spans do.
        if self.left == 0 {
            return None;
        }
        if self.many.is_none() {
            // What is left of one span is never more than the span.
            return Some(Span { addr: self.one[0].addr + self.within, len: self.left });
        }
        let mut index = self.index;
        let mut within = self.within;
        while let Some(s) = self.spans().get(index) {
            if within < s.len {
                return Some(Span { addr: s.addr + within, len: (s.len - within).min(self.left) });
            }
            index += 1;
            within = 0;
        }
        None
    }
    fn advance(&mut self, mut n: usize) {
        n = n.min(self.left);
        self.left -= n;
        self.moved += n;
        if self.many.is_none() {
            self.within += n;
            return;
        }
        while let Some(s) = self.spans().get(self.index).copied() {
            let room = s.len - self.within;
            if n < room {
                self.within += n;
                return;
            }
            n -= room;
            self.index += 1;
            self.within = 0;
            if n == 0 {
                return;
            }
        }
    }
}

fn user_one<'a>(addr: usize, len: usize) -> Cursor<'a> {
    let one = [Span { addr, len }];
    Cursor { of: AddressOf::User, one, many: None, index: 0, within: 0, left: len, moved: 0 }
}

fn user_many(spans: &[Span]) -> Cursor<'_> {
    let left = spans.iter().fold(0usize, |n, s| n.saturating_add(s.len));
    let one = [Span { addr: 0, len: 0 }];
    Cursor { of: AddressOf::User, one, many: Some(spans), index: 0, within: 0, left, moved: 0 }
}

macro_rules! cursor_methods {
    () => {
        /// Bytes that may still be moved.
        pub fn remaining(&self) -> usize {
            self.0.left
        }
        /// Bytes moved so far.
        pub fn moved(&self) -> usize {
            self.0.moved
        }
        /// Moves at most `n` more bytes.
        pub fn limit(&mut self, n: usize) {
            self.0.left = self.0.left.min(n);
        }
        /// Has `work` move at most `n` more bytes.
        pub fn within<R>(&mut self, n: u64, work: impl FnOnce(&mut Self) -> R) -> R {
            let held_back = self.0.left.saturating_sub(usize::try_from(n).unwrap_or(usize::MAX));
            self.0.left -= held_back;
            let outcome = work(self);
            self.0.left += held_back;
            outcome
        }
        /// The next contiguous piece, for a direct host call on it (see `HostFiles`); tell [`Self::advance`] what was
        /// moved. A piece in guest memory has been range-checked; `Err(Fault)` when it is not in the guest's range.
        pub fn piece(&self) -> Result<Option<Span>> {
            match self.0.current() {
                Some(s) if self.0.of == AddressOf::User && !host().is_user_range(s.addr, s.len) => Err(Error::Fault),
                other => Ok(other),
            }
        }
        /// Counts `n` bytes of the current piece as moved.
        pub fn advance(&mut self, n: usize) {
            self.0.advance(n);
        }
    };
}

/// Where read bytes go.
pub struct Dest<'a>(Cursor<'a>);

impl<'a> Dest<'a> {
    /// One guest buffer.
    pub fn user(addr: usize, len: usize) -> Self {
        Self(user_one(addr, len))
    }
    /// Several guest buffers, filled in order (readv).
    pub fn user_vec(spans: &'a [Span]) -> Self {
        Self(user_many(spans))
    }
    /// A kernel buffer.
    pub fn kernel(buf: &'a mut [u8]) -> Self {
        let mut c = user_one(buf.as_mut_ptr() as usize, buf.len());
        c.of = AddressOf::Kernel;
        Self(c)
    }
    cursor_methods!();

    /// Copies from `bytes`; returns how many fitted. `Err(Fault)` only when nothing at all could be moved in this call.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            let Some(s) = self.0.current() else { break };
            let n = s.len.min(bytes.len() - done);
            if n == 0 {
                break;
            }
            let from = &bytes[done..done + n];
            let copied = match self.0.of {
                AddressOf::User => host().copy_to_user(s.addr, from),
                AddressOf::Kernel => {
                    // SAFETY: the span lies in the `&mut [u8]` this was made of, still borrowed.
                    unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), s.addr as *mut u8, n) };
                    n
                }
            };
            self.0.advance(copied);
            done += copied;
            if copied < n && !self.0.comes_back(true) {
                return if done == 0 { Err(Error::Fault) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    /// Copies all of `bytes`, which must fit. `Fault`: not even in part; nothing counts as moved.
    pub fn put_whole(&mut self, bytes: &[u8]) -> Result<()> {
        let before = self.0.clone();
        if matches!(self.put(bytes), Ok(n) if n == bytes.len()) {
            return Ok(());
        }
        self.0 = before;
        Err(Error::Fault)
    }

    /// Fills up to `len` bytes with zeros; same result as [`Dest::put`].
    pub fn put_zeros(&mut self, len: usize) -> Result<usize> {
        let mut done = 0;
        while done < len {
            let Some(s) = self.0.current() else { break };
            let n = s.len.min(len - done);
            if n == 0 {
                break;
            }
            let copied = match self.0.of {
                AddressOf::User => host().zero_user(s.addr, n),
                AddressOf::Kernel => {
                    // SAFETY: the span lies in the `&mut [u8]` this was made of, still borrowed.
                    unsafe { core::ptr::write_bytes(s.addr as *mut u8, 0, n) };
                    n
                }
            };
            self.0.advance(copied);
            done += copied;
            if copied < n && !self.0.comes_back(true) {
                return if done == 0 { Err(Error::Fault) } else { Ok(done) };
            }
        }
        Ok(done)
    }
}

/// Where written bytes come from.
pub struct Source<'a>(Cursor<'a>);

impl<'a> Source<'a> {
    /// One guest buffer.
    pub fn user(addr: usize, len: usize) -> Self {
        Self(user_one(addr, len))
    }
    /// Several guest buffers, drained in order (writev).
    pub fn user_vec(spans: &'a [Span]) -> Self {
        Self(user_many(spans))
    }
    /// A kernel buffer.
    pub fn kernel(buf: &'a [u8]) -> Self {
        let mut c = user_one(buf.as_ptr() as usize, buf.len());
        c.of = AddressOf::Kernel;
        Self(c)
    }
    cursor_methods!();

    /// Copies into `bytes`; returns how many were there. `Err(Fault)` only when nothing at all could be moved in this
    /// call.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            let Some(s) = self.0.current() else { break };
            let n = s.len.min(bytes.len() - done);
            if n == 0 {
                break;
            }
            let to = &mut bytes[done..done + n];
            let copied = match self.0.of {
                AddressOf::User => host().copy_from_user(to, s.addr),
                AddressOf::Kernel => {
                    // SAFETY: the span lies in the `&[u8]` this was made of, still borrowed.
                    unsafe { core::ptr::copy_nonoverlapping(s.addr as *const u8, to.as_mut_ptr(), n) };
                    n
                }
            };
            self.0.advance(copied);
            done += copied;
            if copied < n && !self.0.comes_back(false) {
                return if done == 0 { Err(Error::Fault) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    /// Fills `bytes`, of which there must be as many. `Fault`: not even in part; nothing counts as moved.
    pub fn take_whole(&mut self, bytes: &mut [u8]) -> Result<()> {
        let before = self.0.clone();
        if matches!(self.take(bytes), Ok(n) if n == bytes.len()) {
            return Ok(());
        }
        self.0 = before;
        Err(Error::Fault)
    }

    /// As [`Source::take`], but the bytes stay; [`Source::advance`] takes them afterwards.
    pub fn peek(&self, bytes: &mut [u8]) -> Result<usize> {
        Source(self.0.clone()).take(bytes)
    }

    /// As [`Source::take_whole`], but the bytes stay; [`Source::advance`] takes them afterwards.
    pub fn peek_whole(&self, bytes: &mut [u8]) -> Result<()> {
        Source(self.0.clone()).take_whole(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Dest, Source, Span};

    #[test]
    fn vectors_are_filled_in_order() {
        let (mut a, mut b) = ([0u8; 3], [0u8; 5]);
        let spans = [
            Span { addr: a.as_mut_ptr() as usize, len: 3 },
            Span { addr: 0, len: 0 },
            Span { addr: b.as_mut_ptr() as usize, len: 5 },
        ];
        let mut dest = Dest::user_vec(&spans);
        assert_eq!(dest.put(b"hello"), Ok(5));
        assert_eq!(dest.remaining(), 3);
        assert_eq!(dest.put(b"world"), Ok(3));
        assert_eq!((&a, &b), (b"hel", b"lowor"));
        let mut out = [0u8; 8];
        assert_eq!(Source::user_vec(&spans).take(&mut out), Ok(8));
        assert_eq!(&out, b"hellowor");
    }
}
