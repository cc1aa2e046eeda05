//! Two things that the linker and the compiler do not do by themselves.
//!
//! On x86-64 the supervisor starts without the C library (`process/start.rs` of the platform), which only a
//! self-contained executable can do. The executable for i686 carries the one for x86-64 (`src/carrier.rs`), which is
//! built here, by the same compiler and in the same profile, or is the file that `LITEBOX_X86_64` names.

use std::env::{var, var_os, vars_os};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => enter_by_ourselves(),
        Ok("x86") => carry(),
        _ => {}
    }
}

fn enter_by_ourselves() {
    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    if features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo::rustc-link-arg-bins=-Wl,-e,litebox_entry");
        // Code and constants each begin at a new huge page, so that such pages can take their place.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,max-page-size=2097152");
    }
}

fn carry() {
    println!("cargo::rerun-if-env-changed=LITEBOX_X86_64");
    let out = PathBuf::from(needed("OUT_DIR"));
    let built = match var_os("LITEBOX_X86_64") {
        Some(path) => path.into(),
        None => build(&out.join("x86_64")),
    };
    println!("cargo::rerun-if-changed={}", built.display());
    if let Err(error) = fs::copy(&built, out.join("litebox")) {
        panic!("{}: {error}", built.display());
    }
}

/// Builds the executable for x86-64 below `target`, which no cargo that runs now has locked.
fn build(target: &Path) -> PathBuf {
    const TRIPLE: &str = "x86_64-unknown-linux-gnu";
    for part in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
        println!("cargo::rerun-if-changed=../{part}");
    }
    for part in sources() {
        println!("cargo::rerun-if-changed={}", part.display());
    }
    let release = var("PROFILE").is_ok_and(|profile| profile == "release");
    let mut cargo = Command::new(needed("CARGO"));
    cargo.args(["build", "--package", env!("CARGO_PKG_NAME"), "--bin", "litebox", "--target", TRIPLE]);
    cargo.arg("--target-dir").arg(target);
    if release {
        cargo.arg("--release");
    }
    if var_os("CARGO_FEATURE_JITTER").is_some() {
        cargo.args(["--features", "jitter"]);
    }
    // What cargo says of the other target is not said of this one.
    for (name, _) in vars_os() {
        let text = name.to_string_lossy();
        let of_target = ["CARGO_CFG_", "CARGO_FEATURE_"].iter().any(|start| text.starts_with(start));
        if of_target || ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_LINKER", "TARGET"].contains(&text.as_ref()) {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.status();
    assert!(status.as_ref().is_ok_and(ExitStatus::success), "litebox for {TRIPLE} is not built: {status:?}");
    target.join(TRIPLE).join(if release { "release" } else { "debug" }).join("litebox")
}

/// What it is built of: the sources of the workspace's crates.
fn sources() -> Vec<PathBuf> {
    let crates = fs::read_dir("..").into_iter().flatten().flatten().map(|entry| entry.path());
    crates.flat_map(|dir| ["Cargo.toml", "src", "build.rs"].map(|part| dir.join(part))).filter(|p| p.exists()).collect()
}

fn needed(name: &str) -> OsString {
    var_os(name).unwrap_or_else(|| panic!("cargo did not set {name}"))
}
