//! Calls that only 32-bit programs make: old forms, and forms that 64-bit programs need not have. Each says in its own
//! terms what the call of the family does, which reads and writes the structures of the program that asks.

mod ids;
mod ipc;
mod large;
mod old;
mod socketcall;
mod time64;
