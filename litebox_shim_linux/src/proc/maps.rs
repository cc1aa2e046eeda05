//! /proc/PID/maps, smaps and smaps_rollup.

use alloc::vec::Vec;

use litebox::fs::dev::major_minor;
use litebox::mm::{Object, Vma, VmaFlags, VmaName};
use litebox::platform::Prot;

use super::process::ProcessView;
use super::reader_root;
use super::tree::{Text, put};
use super::{descriptors, mounts};

/// Column at which the name of a vma starts.
const NAME_COLUMN: usize = 73;
const AT_SYSINFO_EHDR: u64 = 33;
/// Size of the host's code page for clocks, which guests use.
const VDSO_SIZE: usize = 0x2000;
const DELETED: &[u8] = b" (deleted)";
/// Device of shared memory without a file.
const SHARED_DEV: u64 = 1;

/// One line's contents.
struct Line {
    start: usize,
    end: usize,
    prot: Prot,
    shared: bool,
    offset: u64,
    dev: u64,
    ino: u64,
    name: Vec<u8>,
}

fn bracketed(kind: &str, name: &[u8]) -> Vec<u8> {
    let mut text = alloc::format!("[{kind}:").into_bytes();
    text.extend_from_slice(name);
    text.push(b']');
    text
}

fn line_of(view: &ProcessView, vma: &Vma, root: &litebox::fs::Location) -> Line {
    let mut line = Line {
        start: vma.start,
        end: vma.end,
        prot: vma.prot,
        shared: vma.shared(),
        offset: if vma.object.is_anonymous() { 0 } else { vma.offset },
        dev: 0,
        ino: 0,
        name: Vec::new(),
    };
    if let Some(file) = vma.object.file() {
        let id = file.file.inode().id();
        (line.dev, line.ino) = (id.dev, id.ino);
        line.name = match &file.location {
            Some(location) => descriptors::path_text(&view.kernel, location, root),
            None => descriptors::nameless_text(&*file.file.inode()),
        };
    } else if matches!(vma.object, Object::Pages { .. }) {
        line.dev = SHARED_DEV;
        line.ino = 1;
        line.name = b"/dev/zero (deleted)".to_vec();
    }
    match &vma.name {
        VmaName::Heap => line.name = b"[heap]".to_vec(),
        VmaName::Stack => line.name = b"[stack]".to_vec(),
        VmaName::Vdso => line.name = b"[vdso]".to_vec(),
        VmaName::Given(name) if vma.object.is_anonymous() => line.name = bracketed("anon", name),
        VmaName::Given(name) if vma.object.file().is_none() => line.name = bracketed("anon_shmem", name),
        _ => {}
    }
    line
}

fn write_line(line: &Line, out: &mut Text) {
    let from = out.len();
    let bit = |flag: Prot, letter: char| if line.prot.contains(flag) { letter } else { '-' };
    let (major, minor) = major_minor(line.dev);
    put!(
        out,
        "{:08x}-{:08x} {}{}{}{} {:08x} {major:02x}:{minor:02x} {} ",
        line.start,
        line.end,
        bit(Prot::READ, 'r'),
        bit(Prot::WRITE, 'w'),
        bit(Prot::EXEC, 'x'),
        if line.shared { 's' } else { 'p' },
        line.offset,
        line.ino
    );
    if !line.name.is_empty() {
        out.pad_to(from, NAME_COLUMN);
        let (name, deleted) = line.name.strip_suffix(DELETED).map_or((&*line.name, &b""[..]), |n| (n, DELETED));
        mounts::put_escaped(out, name, b"\n");
        out.put(deleted);
    }
    out.put(b"\n");
}

/// Where the code that the host gives guests for clocks lies; it is no vma of the guest's map, as that of 32-bit
/// programs is.
fn vdso(view: &ProcessView) -> Option<Line> {
    let image = view.process.image.read().clone();
    let at = image.auxv.chunks_exact(2).find(|pair| pair.first() == Some(&AT_SYSINFO_EHDR))?;
    let start = usize::try_from(*at.get(1)?).ok()?;
    let end = start.checked_add(VDSO_SIZE)?;
    let prot = Prot::READ | Prot::EXEC;
    Some(Line { start, end, prot, shared: false, offset: 0, dev: 0, ino: 0, name: b"[vdso]".to_vec() })
}

/// Every vma with its line, by ascending address.
fn for_each(view: &ProcessView, mut each: impl FnMut(Option<&Vma>, &Line)) {
    if view.thread.is_none() {
        // What has ended shows no memory, though others of its process may go on.
        return;
    }
    let root = reader_root(&view.kernel);
    let vmas = view.process.mm.seen_vmas();
    let mut vdso = vdso(view).filter(|code| !vmas.iter().any(|vma| vma.start == code.start));
    for vma in &vmas {
        if let Some(code) = vdso.take_if(|code| code.start < vma.start) {
            each(None, &code);
        }
        each(Some(vma), &line_of(view, vma, &root));
    }
    if let Some(code) = vdso {
        each(None, &code);
    }
}

pub(super) fn maps(view: &ProcessView, out: &mut Text) {
    for_each(view, |_, line| write_line(line, out));
}

/// Sizes of a vma in KiB, as far as the sandbox knows them: what may be in memory counts as if it were.
#[derive(Default)]
struct Sizes {
    resident: usize,
    anonymous: usize,
    clean: usize,
    dirty: usize,
    shared: usize,
    locked: usize,
}

impl Sizes {
    fn of(vma: Option<&Vma>, line: &Line) -> Self {
        let size = (line.end - line.start) >> 10;
        let Some(vma) = vma else { return Self { resident: size, clean: size, ..Self::default() } };
        if vma.prot.is_empty() {
            return Self::default();
        }
        let locked = if vma.flags.contains(VmaFlags::LOCKED) { size } else { 0 };
        let sizes = Self { resident: size, locked, ..Self::default() };
        if vma.shared() {
            Self { shared: size, ..sizes }
        } else if vma.object.is_anonymous() {
            Self { anonymous: size, dirty: size, ..sizes }
        } else {
            Self { clean: size, ..sizes }
        }
    }
    fn add(&mut self, other: &Self) {
        self.resident += other.resident;
        self.anonymous += other.anonymous;
        self.clean += other.clean;
        self.dirty += other.dirty;
        self.shared += other.shared;
        self.locked += other.locked;
    }
    fn put(&self, out: &mut Text, full: bool) {
        let mut field = |name: &str, kib: usize| put!(out, "{:<15} {kib:>8} kB\n", alloc::format!("{name}:"));
        field("Rss", self.resident);
        field("Pss", self.resident);
        field("Pss_Dirty", self.dirty);
        if !full {
            field("Pss_Anon", self.anonymous);
            field("Pss_File", self.clean);
            field("Pss_Shmem", self.shared);
        }
        field("Shared_Clean", 0);
        field("Shared_Dirty", self.shared);
        field("Private_Clean", self.clean);
        field("Private_Dirty", self.dirty);
        field("Referenced", self.resident);
        field("Anonymous", self.anonymous);
        for name in [
            "KSM",
            "LazyFree",
            "AnonHugePages",
            "ShmemPmdMapped",
            "FilePmdMapped",
            "Shared_Hugetlb",
            "Private_Hugetlb",
            "Swap",
            "SwapPss",
        ] {
            field(name, 0);
        }
        field("Locked", self.locked);
    }
}

fn vm_flags(vma: Option<&Vma>, line: &Line) -> Vec<&'static str> {
    let flags = vma.map_or(VmaFlags::empty(), |a| a.flags);
    let max = vma.map_or(Prot::all(), |a| a.max_prot);
    let all = [
        (line.prot.contains(Prot::READ), "rd"),
        (line.prot.contains(Prot::WRITE), "wr"),
        (line.prot.contains(Prot::EXEC), "ex"),
        (line.shared, "sh"),
        (max.contains(Prot::READ), "mr"),
        (max.contains(Prot::WRITE), "mw"),
        (true, "me"),
        (line.shared, "ms"),
        (flags.contains(VmaFlags::GROWSDOWN), "gd"),
        (flags.contains(VmaFlags::LOCKED), "lo"),
        (flags.contains(VmaFlags::SEQUENTIAL), "sr"),
        (flags.contains(VmaFlags::RANDOM), "rr"),
        (flags.contains(VmaFlags::DONTFORK), "dc"),
        (vma.is_none(), "de"),
        (vma.is_some_and(Vma::is_data), "ac"),
        (flags.contains(VmaFlags::NORESERVE), "nr"),
        (flags.contains(VmaFlags::WIPEONFORK), "wf"),
        (flags.contains(VmaFlags::DONTDUMP), "dd"),
        (flags.contains(VmaFlags::HUGEPAGE), "hg"),
        (flags.contains(VmaFlags::NOHUGEPAGE), "nh"),
        (flags.contains(VmaFlags::SEALED), "sl"),
    ];
    all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect()
}

pub(super) fn smaps(view: &ProcessView, out: &mut Text) {
    for_each(view, |vma, line| {
        write_line(line, out);
        for (name, kib) in [("Size", (line.end - line.start) >> 10), ("KernelPageSize", 4), ("MMUPageSize", 4)] {
            put!(out, "{:<15} {kib:>8} kB\n", alloc::format!("{name}:"));
        }
        Sizes::of(vma, line).put(out, true);
        put!(out, "THPeligible:           0\nVmFlags: ");
        for flag in vm_flags(vma, line) {
            put!(out, "{flag} ");
        }
        out.put(b"\n");
    });
}

/// Where the pages of each vma are: there is one node. What may be in memory counts as if it were.
pub(super) fn numa_maps(view: &ProcessView, out: &mut Text) {
    for_each(view, |vma, line| {
        put!(out, "{:08x} default", line.start);
        let object_is_file = vma.is_some_and(|vma| !vma.object.is_anonymous()) && !line.name.is_empty();
        match &*line.name {
            name if object_is_file => {
                out.put(b" file=");
                mounts::put_escaped(out, name, b"\n\t= ");
            }
            b"[heap]" => out.put(b" heap"),
            b"[stack]" => out.put(b" stack"),
            _ => {}
        }
        let sizes = Sizes::of(vma, line);
        let pages = sizes.resident >> 2;
        if pages > 0 && vma.is_some() {
            match sizes.anonymous {
                0 => put!(out, " mapped={pages}"),
                _ => put!(out, " anon={pages} dirty={pages}"),
            }
            put!(out, " N0={pages} kernelpagesize_kB=4");
        }
        out.put(b"\n");
    });
}

pub(super) fn smaps_rollup(view: &ProcessView, out: &mut Text) {
    let mut sum = Sizes::default();
    let mut span: Option<(usize, usize)> = None;
    for_each(view, |vma, line| {
        sum.add(&Sizes::of(vma, line));
        span = Some((span.map_or(line.start, |s| s.0), line.end));
    });
    let (start, end) = span.unwrap_or_default();
    let name = b"[rollup]".to_vec();
    write_line(&Line { start, end, prot: Prot::empty(), shared: false, offset: 0, dev: 0, ino: 0, name }, out);
    sum.put(out, false);
}
