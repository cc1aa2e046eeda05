//! Bytes on their way from one socket to another: in chunks that are made when bytes come and end when they are read,
//! so that an empty queue holds nothing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::io::{Dest, Source};
use crate::{Error, Result};

/// The least that a chunk has room for, and the most.
const LEAST: usize = 1024;
const MOST: usize = 64 << 10;

struct Chunk {
    bytes: Vec<u8>,
    start: usize,
}

impl Chunk {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// A queue of bytes.
#[derive(Default)]
pub struct ByteQueue {
    chunks: VecDeque<Chunk>,
    len: usize,
}

impl ByteQueue {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Adds the next `most` bytes of `source`, or what there is. Less when memory runs out or a part of the source
    /// cannot be read.
    ///
    /// Errors: `Fault` and `NoMemory` when nothing was added.
    pub fn push(&mut self, source: &mut Source<'_>, most: usize) -> Result<usize> {
        let wanted = most.min(source.remaining());
        let mut done = 0;
        while done < wanted {
            match self.push_piece(source, wanted - done) {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
    fn push_piece(&mut self, source: &mut Source<'_>, most: usize) -> Result<usize> {
        let spare = self.chunks.back().map_or(0, |last| last.bytes.capacity() - last.bytes.len());
        if spare == 0 {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(most.clamp(LEAST, MOST)).map_err(|_| Error::NoMemory)?;
            self.chunks.try_reserve(1).map_err(|_| Error::NoMemory)?;
            self.chunks.push_back(Chunk { bytes, start: 0 });
        }
        let Some(last) = self.chunks.back_mut() else { return Err(Error::NoMemory) };
        let before = last.bytes.len();
        let n = most.min(last.bytes.capacity() - before);
        last.bytes.resize(before + n, 0);
        let taken = source.take(last.bytes.get_mut(before..).unwrap_or_default());
        let moved = *taken.as_ref().unwrap_or(&0);
        last.bytes.truncate(before + moved);
        self.len += moved;
        if last.bytes.is_empty() {
            self.chunks.pop_back();
        }
        // A part that could not be read ends the call: the next byte is a fault.
        if taken.is_ok() && moved == 0 { Err(Error::Fault) } else { taken }
    }
    /// Copies the first bytes to `dest`, at most `most`; they stay.
    ///
    /// Errors: `Fault` when nothing could be copied.
    pub fn copy(&self, dest: &mut Dest<'_>, skip: usize, most: usize) -> Result<usize> {
        let (mut skip, mut done) = (skip, 0);
        for chunk in &self.chunks {
            let unread = chunk.unread();
            let Some(rest) = unread.get(skip..) else {
                skip -= unread.len();
                continue;
            };
            skip = 0;
            let wanted = rest.len().min(most - done).min(dest.remaining());
            match dest.put(rest.get(..wanted).unwrap_or_default()) {
                Ok(n) => {
                    done += n;
                    if n < wanted || wanted < rest.len() {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
    /// The byte at a place.
    pub fn at(&self, mut place: usize) -> Option<u8> {
        for chunk in &self.chunks {
            let unread = chunk.unread();
            match unread.get(place) {
                Some(byte) => return Some(*byte),
                None => place -= unread.len(),
            }
        }
        None
    }
    /// Forgets the first `n` bytes.
    pub fn skip(&mut self, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        while let Some(first) = self.chunks.front_mut() {
            let unread = first.bytes.len() - first.start;
            if left < unread {
                first.start += left;
                return;
            }
            left -= unread;
            self.chunks.pop_front();
            if self.chunks.is_empty() {
                // Nothing is kept for an idle connection.
                self.chunks = VecDeque::new();
                return;
            }
        }
    }
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut ByteQueue, bytes: &[u8], most: usize) -> usize {
        queue.push(&mut Source::kernel(bytes), most).unwrap_or(0)
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut queue = ByteQueue::default();
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(push(&mut queue, &bytes, usize::MAX), bytes.len());
        assert_eq!(push(&mut queue, b"more", 2), 2);
        let mut out = alloc::vec![0u8; 100_000];
        assert_eq!(queue.copy(&mut Dest::kernel(&mut out), 70_000, usize::MAX), Ok(100_000));
        assert_eq!(out, bytes[70_000..170_000]);
        queue.skip(199_999);
        assert_eq!(queue.len(), 3);
        assert_eq!((queue.at(1), queue.at(2), queue.at(3)), (Some(b'm'), Some(b'o'), None));
        queue.skip(3);
        assert!(queue.is_empty() && queue.chunks.capacity() == 0);
    }
}
