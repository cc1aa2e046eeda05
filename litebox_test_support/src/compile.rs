//! Compiling guests, once per content.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How a guest is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// A static program at a fixed address.
    Static,
    /// A static program at any address.
    StaticPie,
    /// A dynamic program at any address.
    Dynamic,
    /// A dynamic program at a fixed address.
    DynamicExec,
    /// A static program of musl.
    Musl,
    /// A static 32-bit program at a fixed address.
    M32,
    /// A static 32-bit program at any address.
    M32StaticPie,
    /// A dynamic 32-bit program at any address.
    M32Dynamic,
}

impl Variant {
    /// The variant of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "static" => Self::Static,
            "static-pie" => Self::StaticPie,
            "dynamic" => Self::Dynamic,
            "dynamic-exec" => Self::DynamicExec,
            "musl" => Self::Musl,
            "m32" => Self::M32,
            "m32-static-pie" => Self::M32StaticPie,
            "m32-dynamic" => Self::M32Dynamic,
            _ => return None,
        })
    }

    /// Its name in tests and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::StaticPie => "static-pie",
            Self::Dynamic => "dynamic",
            Self::DynamicExec => "dynamic-exec",
            Self::Musl => "musl",
            Self::M32 => "m32",
            Self::M32StaticPie => "m32-static-pie",
            Self::M32Dynamic => "m32-dynamic",
        }
    }

    /// Whether it is a program of 32 bits.
    pub fn is_32_bit(self) -> bool {
        matches!(self, Self::M32 | Self::M32StaticPie | Self::M32Dynamic)
    }

    /// The compiler that makes it.
    pub fn compiler(self) -> &'static str {
        if self == Self::Musl { "musl-gcc" } else { "gcc" }
    }

    /// Why this machine cannot compile or run it, if it cannot.
    pub fn missing(self) -> Option<String> {
        if !have(self.compiler()) {
            return Some(format!("no {} on this machine", self.compiler()));
        }
        if self.is_32_bit() && !Path::new("/usr/lib32/libc.a").exists() {
            return Some("no C library for 32-bit programs on this machine (gcc-multilib)".into());
        }
        if self.is_32_bit() && !Path::new("/proc/sys/abi/vsyscall32").exists() {
            return Some("the kernel of this machine runs no 32-bit programs".into());
        }
        None
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Static | Self::Musl => &["-static", "-no-pie", "-fno-pie"],
            Self::StaticPie => &["-static-pie", "-fPIE"],
            Self::Dynamic => &["-pie", "-fPIE"],
            Self::DynamicExec => &["-no-pie", "-fno-pie"],
            Self::M32 => &["-m32", "-msse2", "-static", "-no-pie", "-fno-pie"],
            Self::M32StaticPie => &["-m32", "-msse2", "-static-pie", "-fPIE"],
            Self::M32Dynamic => &["-m32", "-msse2", "-pie", "-fPIE"],
        }
    }
}

/// Whether a compiler can be started.
pub fn have(compiler: &str) -> bool {
    let mut command = Command::new(compiler);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// The folder of the guests' sources.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../litebox_runner_linux_userland/tests/guests")
}

/// Compiles a file of `tests/guests`; the result is kept until the source changes.
pub fn guest(file: &str, variant: Variant, flags: &[String]) -> io::Result<PathBuf> {
    let source = sources().join(file);
    let mut hasher = DefaultHasher::new();
    (fs::read(&source)?, variant.name(), flags).hash(&mut hasher);
    for header in headers()? {
        fs::read(header)?.hash(&mut hasher);
    }
    let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let dir = crate::scratch().join("guests").join(format!("{:016x}", hasher.finish()));
    let binary = dir.join(&stem);
    if binary.exists() {
        return Ok(binary);
    }
    fs::create_dir_all(&dir)?;
    // Tests run at the same time, in processes or in threads: each compiles to a name of its own, and the rename
    // decides.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let partial = dir.join(format!("{stem}.{}.{number}", std::process::id()));
    let mut command = Command::new(variant.compiler());
    command.args(["-O1", "-g", "-Wall", "-D_GNU_SOURCE", "-o"]).arg(&partial).arg(&source);
    let output = command.args(variant.flags()).args(flags).output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("{file} does not compile:\n{text}")));
    }
    fs::rename(partial, &binary)?;
    Ok(binary)
}

fn headers() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sources())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "h") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
