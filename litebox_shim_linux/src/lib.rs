//! The North of LiteBox: Linux.
#![no_std]

extern crate alloc;
