//! The command `litebox`.
fn main() {}
