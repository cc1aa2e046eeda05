//! Linux as host.
#![no_std]
extern crate alloc;
