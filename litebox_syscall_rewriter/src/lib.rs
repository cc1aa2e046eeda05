//! Pure patching of proven `syscall` instructions (bytes in, patch out).
#![forbid(unsafe_code)]
#![no_std]
