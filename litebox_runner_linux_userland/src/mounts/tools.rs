//! `--tools`: the toolchains that people keep in their home, so that what they run outside runs inside.
//!
//! Each tree is given at its own place, copy-on-write, with the variables that lead to it. What such trees hold of
//! passwords and keys is hidden.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::home;

/// A toolchain: where it lies in a home, which variable says that it lies elsewhere, and where its programs are.
struct Toolchain {
    place: &'static str,
    variable: &'static str,
    programs: &'static [&'static str],
}

const fn toolchain(place: &'static str, variable: &'static str, programs: &'static [&'static str]) -> Toolchain {
    Toolchain { place, variable, programs }
}

const TOOLCHAINS: [Toolchain; 27] = [
    toolchain(".cargo", "CARGO_HOME", &["bin"]),
    toolchain(".rustup", "RUSTUP_HOME", &[]),
    toolchain(".pyenv", "PYENV_ROOT", &["shims", "bin"]),
    toolchain(".local/bin", "", &["."]),
    toolchain(".local/share/uv", "", &[]),
    toolchain(".local/share/pipx", "PIPX_HOME", &[]),
    toolchain(".local/pipx", "", &[]),
    toolchain(".local/lib", "", &[]),
    toolchain(".local/share/pypoetry", "POETRY_HOME", &["venv/bin"]),
    toolchain("miniconda3", "", &["bin"]),
    toolchain("miniforge3", "", &["bin"]),
    toolchain("anaconda3", "", &["bin"]),
    toolchain(".nvm", "NVM_DIR", &[]),
    toolchain(".local/share/fnm", "FNM_DIR", &[]),
    toolchain(".volta", "VOLTA_HOME", &["bin"]),
    toolchain(".local/share/pnpm", "PNPM_HOME", &["."]),
    toolchain(".bun", "BUN_INSTALL", &["bin"]),
    toolchain(".deno", "DENO_INSTALL", &["bin"]),
    toolchain("go", "GOPATH", &["bin"]),
    toolchain("sdk", "", &[]),
    toolchain(".rbenv", "RBENV_ROOT", &["shims", "bin"]),
    toolchain(".asdf", "ASDF_DATA_DIR", &["shims", "bin"]),
    toolchain(".local/share/mise", "MISE_DATA_DIR", &["shims"]),
    toolchain(".sdkman", "SDKMAN_DIR", &[]),
    toolchain(".ghcup", "", &["bin"]),
    toolchain(".dotnet", "DOTNET_ROOT", &["."]),
    toolchain(".juliaup", "", &["bin"]),
];

/// Variables that lead into such trees, and are passed on when they do.
const LEADING: [&str; 5] = ["VIRTUAL_ENV", "GOROOT", "JAVA_HOME", "NODE_PATH", "CONDA_PREFIX"];

/// What such trees may hold of passwords and keys: names, and names directly below a tree.
const SECRET_NAMES: [&str; 9] =
    [".ssh", ".aws", ".gnupg", ".netrc", ".git-credentials", ".npmrc", ".pypirc", ".env", ".docker"];
const SECRET_BELOW: [&str; 2] = ["credentials", "credentials.toml"];

/// The toolchains that are there.
#[derive(Debug, Default)]
pub struct Tools {
    /// Trees to be given, none within another.
    pub trees: Vec<PathBuf>,
    /// Variables to be set, before those that are named.
    pub variables: Vec<(Vec<u8>, Vec<u8>)>,
    /// Directories of programs, to be looked through first.
    pub programs: Vec<PathBuf>,
}

impl Tools {
    /// Those of the caller; `here` is the current directory.
    pub fn find(here: &Path) -> Self {
        let mut tools = Self::default();
        let Some(home) = home::own() else { return tools };
        let mut programs = Vec::new();
        for one in TOOLCHAINS {
            let elsewhere = std::env::var_os(one.variable).map(PathBuf::from).filter(|path| path.is_absolute());
            let tree = elsewhere.unwrap_or_else(|| home.join(one.place));
            if !tools.add(&home, &tree) {
                continue;
            }
            if !one.variable.is_empty() {
                tools.set(one.variable, tree.as_os_str());
            }
            programs.extend(one.programs.iter().map(|dir| tree.join(dir)).filter(|dir| dir.is_dir()));
        }
        for venv in
            [std::env::var_os("VIRTUAL_ENV").map(PathBuf::from), Some(here.join(".venv")), Some(here.join("venv"))]
        {
            let Some(venv) = venv.filter(|venv| venv.is_absolute()) else { continue };
            tools.add_virtual_environment(&home, here, &venv);
        }
        for variable in LEADING {
            let Some(value) = std::env::var_os(variable) else { continue };
            if tools.trees.iter().any(|tree| Path::new(&value).starts_with(tree)) || Path::new(&value).starts_with(here)
            {
                tools.set(variable, &value);
            }
        }
        // The caller's own order comes first.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let seen = |dir: &PathBuf| tools.trees.iter().any(|tree| dir.starts_with(tree)) || dir.starts_with(here);
        let mut ordered: Vec<PathBuf> =
            std::env::split_paths(&path).filter(|dir| dir.is_absolute() && seen(dir)).collect();
        ordered.extend(programs);
        for dir in ordered {
            if !tools.programs.contains(&dir) {
                tools.programs.push(dir);
            }
        }
        tools
    }

    fn set(&mut self, variable: &str, value: &OsStr) {
        self.variables.push((variable.as_bytes().to_vec(), value.as_bytes().to_vec()));
    }

    /// Adds a tree, if it is a directory and does not hold a home; `true`: it is given.
    fn add(&mut self, home: &Path, tree: &Path) -> bool {
        if !tree.is_dir() || home.starts_with(tree) || tree == Path::new("/") {
            return false;
        }
        if !self.trees.iter().any(|known| tree.starts_with(known)) {
            self.trees.retain(|known| !known.starts_with(tree));
            self.trees.push(tree.to_path_buf());
        }
        true
    }

    /// A virtual environment of Python, and the Python that its links lead to.
    fn add_virtual_environment(&mut self, home: &Path, here: &Path, venv: &Path) {
        let Ok(text) = std::fs::read_to_string(venv.join("pyvenv.cfg")) else { return };
        if !venv.starts_with(here) {
            self.add(home, venv);
        }
        let of_config = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"));
        let of_config = of_config.map(|(_, dir)| PathBuf::from(dir.trim()).join("python3"));
        for python in [Some(venv.join("bin/python")), of_config].into_iter().flatten() {
            let Ok(real) = std::fs::canonicalize(python) else { continue };
            if real.starts_with(home) {
                self.add(home, installation_of(&real));
            }
        }
    }

    /// Patterns of what is hidden in these trees.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let below = self.trees.iter().flat_map(|tree| SECRET_BELOW.map(|name| tree.join(name)));
        let below = below.map(|path| super::hide::escaped(path.as_os_str().as_bytes()));
        SECRET_NAMES.iter().map(|name| name.as_bytes().to_vec()).chain(below).collect()
    }
}

/// The tree that a program was installed in: what holds its bin directory, else its own directory.
pub fn installation_of(program: &Path) -> &Path {
    let dir = program.parent().unwrap_or(program);
    let is_bin = dir.file_name().is_some_and(|name| name == "bin" || name == "sbin" || name == "shims");
    match dir.parent() {
        Some(tree) if is_bin && home::why_withheld(tree).is_none() => tree,
        _ => dir,
    }
}
