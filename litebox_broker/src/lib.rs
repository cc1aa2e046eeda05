//! The trusted process.
