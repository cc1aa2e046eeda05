//! What stays of a sandbox: taking what it tells of its changes, and where that goes (`--save`, `--diff`).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use litebox_broker::{Keeper, Stage, report};
use litebox_layer::apply::{self, apply};
use litebox_layer::archive::Archive;
use litebox_layer::listing::Listing;
use litebox_layer::pipe::Incoming;
use litebox_layer::read::Layer;
use litebox_layer::stream::{Entry, Taker, receive};
use litebox_layer::target::{Target, place, temporary_name};
use litebox_protocol::layer::Kind;
use rustix::pipe::PipeFlags;

use crate::message::print_aside;
use crate::options::results::ResultOptions;

/// How much is moved at once.
const CHUNK: usize = 256 << 10;
/// What headers and names may take beside the bytes of files.
const ROOM_FOR_NAMES: u64 = 64 << 20;
/// The level that zstd(1) has.
const ZSTD_LEVEL: i32 = 3;

/// What was asked for, and what came of it.
pub struct Results {
    /// The end of the pipe that is the sandbox's.
    pub to: Option<OwnedFd>,
    /// Who takes what comes.
    pub keeper: Option<Keeper>,
    /// The bytes of files are wanted, too.
    pub contents: bool,
    outcome: Arc<Mutex<Outcome>>,
    save: Option<PathBuf>,
    diff: Option<PathBuf>,
}

#[derive(Default)]
struct Outcome {
    has_begun: bool,
    listing: Option<Vec<u8>>,
    left_out: Option<String>,
}

/// Where a layer goes.
enum Place {
    /// Nowhere.
    None,
    /// A file of this name.
    File { target: Target, is_compressed: bool },
    /// A directory, by way of a file without a name.
    Directory { target: Target, path: PathBuf },
}

/// Gets everything ready; `None`: nothing is to stay. `most`: bytes that may be saved.
pub fn prepare(options: &ResultOptions, most: u64) -> Result<Option<Results>, String> {
    if options.save.is_none() && options.diff.is_none() {
        return Ok(None);
    }
    let place = match &options.save {
        Some(path) => open(path).map_err(|why| format!("--save {}: {why}", path.display()))?,
        None => Place::None,
    };
    if let Some(file) = options.diff.as_deref().filter(|file| *file != Path::new("-")) {
        // It is known to be writable before anything runs.
        File::create(file).map_err(|e| format!("--diff={}: {}", file.display(), plain(&e)))?;
    }
    let (from, to) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| format!("--save: {e}"))?;
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let theirs = outcome.clone();
    let keeper = Keeper(Box::new(move |stage| keep(from, stage, place, most, &theirs).map_err(|e| plain(&e))));
    Ok(Some(Results {
        to: Some(to),
        keeper: Some(keeper),
        contents: options.save.is_some(),
        outcome,
        save: options.save.clone(),
        diff: options.diff.clone(),
    }))
}

impl Results {
    /// Says what came of it. The exit status, where that is another one than `status` for it.
    pub fn tell(self, kept: &Result<(), String>, status: u8) -> u8 {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = if status == 0 { crate::STATUS_OURS } else { status };
        if let Err(why) = kept {
            if !outcome.has_begun && status == crate::STATUS_OURS {
                // There was no sandbox.
                return status;
            }
            let why = if outcome.has_begun { why } else { "the sandbox was killed before it told what it changed" };
            report::say(&match &self.save {
                Some(path) => format!("nothing was saved to {}: {why}", path.display()),
                None => format!("--diff: {why}"),
            });
            return failed;
        }
        if let Some(text) = outcome.listing.take().filter(|_| self.diff.is_some()) {
            if let Err(e) = self.list(&text) {
                report::say(&format!("--diff: {}", plain(&e)));
                return failed;
            }
        }
        match &outcome.left_out {
            Some(line) => {
                report::say(line);
                failed
            }
            None => status,
        }
    }

    fn list(&self, text: &[u8]) -> io::Result<()> {
        match self.diff.as_deref() {
            Some(file) if file != Path::new("-") => File::create(file)?.write_all(text),
            _ => {
                print_aside(&listed(text));
                Ok(())
            }
        }
    }
}

/// A listing for somebody to read: names show no more than their letters.
pub fn listed(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(|line| format!("{}\n", litebox_protocol::plain::Plain(line)));
    lines.collect()
}

/// An error without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    // As the other reports: in the middle of a line.
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn open(path: &Path) -> Result<Place, String> {
    let name = path.to_string_lossy();
    let compressed = [".tar.zst", ".tzst"].iter().any(|end| name.ends_with(end));
    if compressed || name.ends_with(".tar") {
        let target = Target::new(path).map_err(|e| plain(&e))?;
        return Ok(Place::File { target, is_compressed: compressed });
    }
    if [".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"].iter().any(|end| name.ends_with(end)) {
        return Err("a layer is saved as .tar or .tar.zst".into());
    }
    match std::fs::read_dir(path).map(Iterator::count) {
        Ok(1..) => return Err("the directory is not empty".into()),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return Err("it is a file: a layer is saved as .tar, .tar.zst, or in a new directory".into());
        }
        Err(e) => return Err(plain(&e)),
    }
    // A file that never gets a name, beside the directory.
    let beside = path.with_file_name(format!(".{}.tar", path.file_name().unwrap_or_default().to_string_lossy()));
    let target = Target::new(&beside).map_err(|e| plain(&e))?;
    Ok(Place::Directory { target, path: path.to_path_buf() })
}

/// Takes everything that the sandbox tells.
fn keep(from: OwnedFd, stage: &Stage, place: Place, most: u64, outcome: &Mutex<Outcome>) -> io::Result<()> {
    let begun = || {
        stage.begin();
        outcome.lock().unwrap_or_else(PoisonError::into_inner).has_begun = true;
    };
    let shown = matches!(place, Place::File { .. } | Place::Directory { .. }) && io::stderr().is_terminal();
    let progress = if shown { bar() } else { ProgressBar::hidden() };
    let incoming = Progress { from: Incoming::new(from, &begun), bar: &progress };
    let mut incoming = BufReader::with_capacity(CHUNK, incoming);
    let mut listing = Listing::default();
    let most = most.saturating_add(ROOM_FOR_NAMES);
    let left_out = match place {
        Place::None => {
            receive(&mut incoming, most, &mut Both { archive: None::<Archive<File>>, listing: &mut listing })
        }
        Place::File { target, is_compressed } => {
            let file = BufWriter::with_capacity(CHUNK, target.file());
            let left_out = if is_compressed {
                let to = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                let (to, left_out) = archive(&mut incoming, most, to, &mut listing)?;
                to.finish()?.flush()?;
                left_out
            } else {
                let (mut to, left_out) = archive(&mut incoming, most, file, &mut listing)?;
                to.flush()?;
                left_out
            };
            target.commit()?;
            Ok(left_out)
        }
        Place::Directory { target, path } => {
            let file = BufWriter::with_capacity(CHUNK, target.file());
            let (mut to, left_out) = archive(&mut incoming, most, file, &mut listing)?;
            to.flush()?;
            drop(to);
            lay_out(target.file(), &path)?;
            Ok(left_out)
        }
    };
    progress.finish_and_clear();
    let left_out = left_out?;
    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.listing = Some(listing.finish());
    outcome.left_out = left_out.line();
    Ok(())
}

/// Saves what comes through a pipe at `path`, as `--save` does: what was left out, if anything was. `most`: bytes of
/// files. `start` has it come, once it is known where it goes.
pub fn save(
    path: &Path,
    most: u64,
    start: impl FnOnce(OwnedFd) -> Result<(), String>,
) -> Result<Result<Option<String>, String>, String> {
    let place = open(path)?;
    let (from, to) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| e.to_string())?;
    start(to)?;
    let outcome = Mutex::default();
    let kept = keep(from, &Stage::default(), place, most, &outcome).map_err(|e| plain(&e));
    Ok(kept.map(|()| outcome.into_inner().unwrap_or_else(PoisonError::into_inner).left_out))
}

/// Writes an archive and a listing of what comes.
fn archive<W: Write>(
    from: &mut dyn io::BufRead,
    most: u64,
    to: W,
    listing: &mut Listing,
) -> io::Result<(W, litebox_layer::stream::LeftOut)> {
    let mut both = Both { archive: Some(Archive::new(to)), listing };
    let left_out = receive(from, most, &mut both)?;
    let archive = both.archive.ok_or(io::ErrorKind::Other)?;
    Ok((archive.finish()?, left_out))
}

/// Lays a layer out in a directory, which is there when all of it is.
fn lay_out(mut file: &File, path: &Path) -> io::Result<()> {
    file.rewind()?;
    let (dir, name) = place(path)?;
    let temporary = dir.join(temporary_name(&name)?);
    std::fs::DirBuilder::new().mode(0o755).create(&temporary)?;
    let unpacked = unpack(file, &temporary).and_then(|()| std::fs::rename(&temporary, path));
    if unpacked.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    unpacked
}

fn unpack(file: &File, to: &Path) -> io::Result<()> {
    let mut layer = Layer::new(BufReader::with_capacity(CHUNK, file))?;
    let options = apply::Options { keeps_whiteouts: true, ..apply::Options::default() };
    let root = File::open(to)?;
    apply(&mut layer, root.try_clone()?.into(), &options)?;
    Ok(rustix::fs::syncfs(&root)?)
}

/// Both an archive, if there is to be one, and a listing.
struct Both<'a, W: Write> {
    archive: Option<Archive<W>>,
    listing: &'a mut Listing,
}

impl<W: Write> Taker for Both<'_, W> {
    fn tree(&mut self, at: &[u8]) -> io::Result<()> {
        self.archive.as_mut().map_or(Ok(()), |archive| archive.tree(at))
    }
    fn change(&mut self, kind: Kind, entry: &Entry, bytes: &mut dyn Read) -> io::Result<()> {
        self.listing.change(kind, entry, bytes)?;
        self.archive.as_mut().map_or(Ok(()), |archive| archive.change(kind, entry, bytes))
    }
}

/// Tells how much has come.
struct Progress<'a> {
    from: Incoming<'a>,
    bar: &'a ProgressBar,
}

impl Read for Progress<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.bar.inc(n as u64);
        Ok(n)
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("litebox: saving {bytes} ({bytes_per_sec})");
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}
