//! socketcall(2): all calls of sockets behind one number, their arguments in memory.

use litebox::{Error, Result};
use litebox_common_linux::abi::socket::{MessageFlags, ShutdownHow, SocketKind};
use litebox_common_linux::argument::{UserMut, UserRef};

use crate::Task;
use crate::user::UserRead;

/// How many arguments each call has, by its number.
const ARGUMENTS: [usize; 21] = [0, 3, 3, 3, 2, 3, 3, 3, 4, 4, 4, 6, 6, 2, 5, 5, 3, 3, 4, 5, 4];

impl Task<'_, '_> {
    /// socketcall(2)
    pub(crate) fn socketcall(&mut self, call: i32, arguments: UserRef<u32>) -> Result<usize> {
        let number = usize::try_from(call).ok().filter(|call| *call > 0).ok_or(Error::Invalid)?;
        let count = *ARGUMENTS.get(number).ok_or(Error::Invalid)?;
        let mut words = [0u32; 6];
        for (i, word) in words.iter_mut().take(count).enumerate() {
            *word = arguments.nth(i)?.read()?;
        }
        let [first, second, third, fourth, fifth, sixth] = words;
        let fd = first as i32;
        let [kind, accepted] = [second, fourth].map(|bits| SocketKind(bits as i32));
        let [message_flags, of_message] = [fourth, third].map(|bits| MessageFlags(bits as i32));
        let (buf, len) = (second as usize, third as usize);
        // Addresses, as the handlers take them.
        let [address, address_len, value, value_len] = [second, third, fourth, fifth].map(u64::from);
        let (level, option) = (second as i32, third as i32);
        match call {
            1 => self.socket(fd, kind, third as i32),
            2 => self.bind(fd, address, third),
            3 => self.connect(fd, address, third),
            4 => self.listen(fd, second as i32),
            5 => self.accept(fd, address, address_len),
            6 => self.getsockname(fd, address, address_len),
            7 => self.getpeername(fd, address, address_len),
            8 => self.socketpair(fd, kind, third as i32, value),
            9 => self.sendto(fd, buf, len, message_flags, 0, 0),
            10 => self.recvfrom(fd, buf, len, message_flags, 0, 0),
            11 => self.sendto(fd, buf, len, message_flags, fifth.into(), sixth),
            12 => self.recvfrom(fd, buf, len, message_flags, fifth.into(), sixth.into()),
            13 => self.shutdown(fd, ShutdownHow(second as i32)),
            14 => self.setsockopt(fd, level, option, value, fifth),
            15 => self.getsockopt(fd, level, option, value, value_len),
            16 => self.sendmsg(fd, arguments.at(buf), of_message),
            17 => self.recvmsg(fd, UserMut::new(self.abi(), buf), of_message),
            18 => self.accept4(fd, address, address_len, accepted),
            19 => {
                let (messages, timeout) = (UserMut::new(self.abi(), buf), UserMut::new(self.abi(), fifth as usize));
                self.recvmmsg(fd, messages, third, message_flags, timeout)
            }
            _ => self.sendmmsg(fd, UserMut::new(self.abi(), buf), third, message_flags),
        }
    }
}
