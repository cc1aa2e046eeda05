//! `litebox diff` and `litebox apply`: layers that were saved.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use litebox_layer::apply::{self, Done, apply as bring};
use litebox_layer::beneath::{Beneath, kind_of};
use litebox_layer::listing::of_layer;
use litebox_layer::read::Layer;
use litebox_layer::split;

use crate::results::{listed, plain};

/// Options of `litebox diff`.
#[derive(Args)]
pub struct DiffOptions {
    /// A layer: what --save wrote, or one of an image (tar, or compressed by zstd).
    #[arg(value_name = "FILE.tar[.zst]")]
    file: PathBuf,
    /// What the layer lies on. Layers that others wrote do not tell what was there before: what is here is changed, and
    /// everything else is new.
    dir: Option<PathBuf>,
}

/// Options of `litebox apply`.
#[derive(Args)]
pub struct ApplyOptions {
    /// A layer: what --save wrote, or one of an image (tar, or compressed by zstd).
    #[arg(value_name = "FILE.tar[.zst]")]
    file: PathBuf,
    /// The directory that the layer is brought onto. Nothing outside of it is touched.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The directory of the sandbox that DIR stands for. By default it is the one whose changes were saved; an image's
    /// layer counts from /.
    #[arg(long, value_name = "PATH")]
    from: Option<PathBuf>,
}

fn open(file: &Path) -> io::Result<Layer<'static>> {
    const CHUNK: usize = 256 << 10;
    Layer::new(BufReader::with_capacity(CHUNK, File::open(file)?))
}

/// What a layer changes.
pub fn diff(options: &DiffOptions) -> Result<String, String> {
    let failed = |e: io::Error| format!("diff {}: {}", options.file.display(), plain(&e));
    let dir = options
        .dir
        .as_ref()
        .map(|dir| File::open(dir).map(Into::into).map_err(|e| format!("diff {}: {}", dir.display(), plain(&e))));
    let dir = dir.transpose()?.map(|dir| std::cell::RefCell::new(Beneath::new(dir)));
    let exists = |path: &[u8]| {
        let (above, name) = split(path);
        let found = dir.as_ref().map(|dir| {
            let mut dir = dir.borrow_mut();
            let above = dir.directory(above, false)?;
            kind_of(above, name)
        });
        matches!(found, Some(Ok(Some(_))))
    };
    let mut layer = open(&options.file).map_err(failed)?;
    of_layer(&mut layer, &exists).map(|text| listed(&text)).map_err(failed)
}

/// Brings a layer onto a directory; a line for the user, if there is something to say.
pub fn apply(options: &ApplyOptions) -> Result<Option<String>, String> {
    let failed = |e: io::Error| format!("apply {}: {}", options.file.display(), plain(&e));
    let from = match &options.from {
        Some(path) => path.as_os_str().as_bytes().trim_ascii_start().to_vec(),
        None => only_tree(&options.file).map_err(failed)?,
    };
    let from: Vec<u8> = from.split(|b| *b == b'/').filter(|name| !name.is_empty()).collect::<Vec<_>>().join(&b'/');
    let how = apply::Options { from, keeps_whiteouts: false };
    let in_dir = |e: io::Error| format!("apply to {}: {}", options.dir.display(), plain(&e));
    let dir = rustix::fs::open(
        &options.dir,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let dir = dir.map_err(|e| in_dir(e.into()))?;
    let mut layer = open(&options.file).map_err(failed)?;
    let done = bring(&mut layer, dir, &how).map_err(failed)?;
    Ok(note(done))
}

/// The root of the one tree that a layer is about.
fn only_tree(file: &Path) -> io::Result<Vec<u8>> {
    let mut layer = open(file)?;
    while layer.next_item()?.is_some() {}
    match layer.trees.as_slice() {
        [] => Ok(Vec::new()),
        [tree] => Ok(tree.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|tree| format!("/{}", String::from_utf8_lossy(tree))).collect();
            let why = format!("changes of several directories ({}): choose one by --from", names.join(", "));
            Err(io::Error::new(io::ErrorKind::InvalidInput, why))
        }
    }
}

fn note(done: Done) -> Option<String> {
    let mut notes = Vec::new();
    if done.left_out > 0 {
        notes.push(format!("{} devices left out", done.left_out));
    }
    if done.elsewhere > 0 {
        notes.push(format!("{} entries of other directories left out", done.elsewhere));
    }
    if done.lost > 0 {
        notes.push(format!("{} owners or attributes not set (the superuser can)", done.lost));
    }
    (!notes.is_empty()).then(|| notes.join(", "))
}
