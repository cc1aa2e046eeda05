//! Compiling guests, once per content.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
        }
    }

    /// The compiler that makes it.
    pub fn compiler(self) -> &'static str {
        if self == Self::Musl { "musl-gcc" } else { "gcc" }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Static | Self::Musl => &["-static", "-no-pie", "-fno-pie"],
            Self::StaticPie => &["-static-pie", "-fPIE"],
            Self::Dynamic => &["-pie", "-fPIE"],
            Self::DynamicExec => &["-no-pie", "-fno-pie"],
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
    // Tests run at the same time: each compiles to a name of its own, and the rename decides.
    let partial = dir.join(format!("{stem}.{}", std::process::id()));
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
