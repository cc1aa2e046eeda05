//! Time: clocks, sleeping, the timers of a process, and how much of the processor was used.

mod clock;
mod interval;
mod posix;
mod setting;
mod sleep;
mod timers;
mod usage;

pub use timers::Timers;

pub(crate) use clock::Base;
pub(crate) use usage::rusage_of;
