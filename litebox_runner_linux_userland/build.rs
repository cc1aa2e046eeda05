//! The supervisor starts without the C library (`src/entry.rs`), which only a self-contained executable can do.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let x86_64 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    if x86_64 && features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::rustc-link-arg-bins=-Wl,-e,litebox_entry");
        // Code and constants each begin at a new huge page, so that such pages can take their place.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,max-page-size=2097152");
        println!("cargo::rustc-cfg=own_entry");
    }
    println!("cargo::rustc-check-cfg=cfg(own_entry)");
}
