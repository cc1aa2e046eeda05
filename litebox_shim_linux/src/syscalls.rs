//! System calls, one file per family. Every handler is a method of [`Task`](crate::Task) with the signature of its row
//! in the table.

mod aio;
pub mod capabilities;
mod compat;
pub mod epoll;
pub mod eventfd;
pub mod file;
pub mod futex;
pub mod identity;
pub mod inotify;
pub mod limits;
pub mod mm;
pub mod net;
pub mod pipe;
pub mod poll;
pub mod process;
pub(crate) mod restart;
pub mod scheduling;
mod seccomp;
pub mod signal;
pub mod system;
pub mod time;
pub mod timerfd;
pub mod unix;
