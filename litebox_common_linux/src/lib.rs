//! The Linux ABI as plain data.
#![no_std]
