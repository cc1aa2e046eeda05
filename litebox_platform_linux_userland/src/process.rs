//! Host processes of the sandbox: fork, zygotes, the vfork handoff, the supervisor.

pub(crate) mod figures;
pub mod start;
pub(crate) mod supervisor;
pub(crate) mod table;
pub(crate) mod threads;
pub(crate) mod vfork_handoff;
pub(crate) mod zygote;
