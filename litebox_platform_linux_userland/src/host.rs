//! Calls to the host through the gadget, what its filter lets through, and what else is known of it.

pub(crate) mod ahead;
pub(crate) mod broker;
pub mod call;
pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod entropy;
pub(crate) mod files;
pub mod filter;
pub mod interception;
pub(crate) mod kept;
pub(crate) mod process_block;
pub(crate) mod published;
pub(crate) mod rseq_areas;
pub(crate) mod start_error;
pub(crate) mod system;
pub(crate) mod thread_block;
pub(crate) mod turn;
pub(crate) mod usage;

/// Linux as the host. All its methods are the traits of [`litebox::platform`].
pub struct LinuxHost;
