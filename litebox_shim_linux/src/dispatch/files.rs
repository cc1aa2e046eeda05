//! The calls about files and sockets.

use litebox::{Error, Result};

use crate::Task;

impl Task<'_, '_> {
    #[expect(clippy::many_single_char_names, reason = "the six argument registers")]
    /// One arm a call, by number.
    pub(super) fn dispatch_files(&mut self, number: u64, [a, b, c, d, e, f]: [u64; 6]) -> Result<usize> {
        let (ai, bi, ci, di) = (a as i32, b as i32, c as i32, d as i32);
        match number {
            0 => self.read(ai, b as usize, c as usize),
            1 => self.write(ai, b as usize, c as usize),
            3 => self.close(ai),
            7 => self.poll(a, b as u32, ci),
            8 => self.lseek(ai, b as i64, ci),
            17 => self.pread64(ai, b as usize, c as usize, d as i64),
            18 => self.pwrite64(ai, b as usize, c as usize, d as i64),
            19 => self.readv(ai, b as usize, c as usize),
            20 => self.writev(ai, b as usize, c as usize),
            23 => self.select(ai, b, c, d, e),
            32 => self.dup(ai),
            33 => self.dup2(ai, bi),
            41 => self.socket(ai, bi, ci),
            42 => self.connect(ai, b, c as u32),
            43 => self.accept(ai, b, c),
            44 => self.sendto(ai, b as usize, c as usize, di, e, f as u32),
            45 => self.recvfrom(ai, b as usize, c as usize, di, e, f),
            46 => self.sendmsg(ai, b, ci),
            47 => self.recvmsg(ai, b, ci),
            48 => self.shutdown(ai, bi),
            49 => self.bind(ai, b, c as u32),
            50 => self.listen(ai, bi),
            51 => self.getsockname(ai, b, c),
            52 => self.getpeername(ai, b, c),
            53 => self.socketpair(ai, bi, ci, d),
            54 => self.setsockopt(ai, bi, ci, d, e as u32),
            55 => self.getsockopt(ai, bi, ci, d, e),
            72 => self.fcntl(ai, b as u32, c as usize),
            73 => self.flock(ai, bi),
            213 => self.epoll_create(ai),
            232 => self.epoll_wait(ai, b, ci, di),
            233 => self.epoll_ctl(ai, bi, ci, d),
            270 => self.pselect6(ai, b, c, d, e, f),
            271 => self.ppoll(a, b as u32, c, d, e),
            281 => self.epoll_pwait(ai, b, ci, di, e, f),
            283 => self.timerfd_create(ai, bi),
            286 => self.timerfd_settime(ai, bi, c, d),
            287 => self.timerfd_gettime(ai, b),
            288 => self.accept4(ai, b, c, di),
            291 => self.epoll_create1(ai),
            292 => self.dup3(ai, bi, ci),
            295 => self.preadv(ai, b as usize, c as usize, d as i64),
            296 => self.pwritev(ai, b as usize, c as usize, d as i64),
            319 => self.memfd_create(a, b as u32),
            327 => self.preadv2(ai, b as usize, c as usize, d as i64, f as i32),
            328 => self.pwritev2(ai, b as usize, c as usize, d as i64, f as i32),
            436 => self.close_range(a as u32, b as u32, c as u32),
            441 => self.epoll_pwait2(ai, b, ci, d, e, f),
            _ => Err(Error::NotImplemented),
        }
    }
}
