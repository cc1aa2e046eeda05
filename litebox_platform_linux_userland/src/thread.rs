//! Guest threads on threads of the host: stacks, start, kicks, alarms.

pub(crate) mod host_process;
pub(crate) mod host_thread;
pub(crate) mod program_end;
pub(crate) mod segments;
pub(crate) mod stack;
pub(crate) mod timers;
