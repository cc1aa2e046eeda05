//! Calls to the host through the gadget, what its filter lets through, and what else is known of it.

pub(crate) mod broker;
pub mod call;
pub(crate) mod clock;
pub(crate) mod counters;
pub(crate) mod entropy;
pub(crate) mod files;
pub mod filter;
pub(crate) mod system;
pub(crate) mod turn;
