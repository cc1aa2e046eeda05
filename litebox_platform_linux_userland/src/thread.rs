//! Guest threads on threads of the host: stacks, start, kicks, alarms.

pub(crate) mod host_thread;
pub(crate) mod kept;
pub(crate) mod segments;
pub(crate) mod stack;
