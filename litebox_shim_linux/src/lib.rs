//! Linux system calls.
#![no_std]
extern crate alloc;
