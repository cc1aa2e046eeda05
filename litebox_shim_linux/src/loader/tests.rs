//! Real programs of the machine, and thousands of damaged ones, loaded into real memory.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use litebox::fs::{Access, File, FileType, Inode, InodeId, Mapping, Metadata, OpenFile, StatFs, StatusFlags, Time};
use litebox::io::Dest;
use litebox::mm::{Limits, Mm, VmaName};
use litebox::platform::{HostFd, host};
use litebox::{Error, Result};

use super::{Arguments, AuxIds, Elf, load_into, prepare};

struct TestFile(std::fs::File);

impl Inode for TestFile {
    fn id(&self) -> InodeId {
        InodeId { dev: 1, ino: self.0.as_raw_fd() as u64 }
    }
    fn file_type(&self) -> FileType {
        FileType::Regular
    }
    fn metadata(&self) -> Result<Metadata> {
        let time = Time::default();
        let (mode, size, blksize) = (0o100_755, self.0.metadata().unwrap().len(), 4096);
        let (nlink, uid, gid, rdev, blocks) = (1, 0, 0, 0, 0);
        let (atime, mtime, ctime, btime) = (time, time, time, None);
        Ok(Metadata { id: self.id(), mode, nlink, uid, gid, rdev, size, blocks, blksize, atime, mtime, ctime, btime })
    }
    fn stat_fs(&self) -> Result<StatFs> {
        Ok(StatFs::default())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl File for TestFile {
    fn inode(&self) -> Arc<dyn Inode> {
        Arc::new(TestFile(self.0.try_clone().unwrap()))
    }
    fn metadata(&self) -> Result<Metadata> {
        Inode::metadata(self)
    }
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        let mut buf = std::vec![0u8; dest.remaining()];
        let n = self.0.read_at(&mut buf, offset).map_err(|_| Error::Io)?;
        dest.put(&buf[..n])
    }
    fn mapping(&self) -> Result<Mapping> {
        Ok(Mapping::Host { fd: HostFd(self.0.as_raw_fd()), fixed: false })
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

fn open_file(file: std::fs::File) -> Arc<OpenFile> {
    OpenFile::new(Arc::new(TestFile(file)), Access::READ, StatusFlags::empty(), None, 0)
}

fn open_path(path: &[u8]) -> Result<Arc<OpenFile>> {
    let path = core::str::from_utf8(path).map_err(|_| Error::NotFound)?;
    std::fs::File::open(path).map(open_file).map_err(|_| Error::NotFound)
}

/// A file without a name that holds `bytes`.
fn file_of(name: &str, bytes: &[u8]) -> std::fs::File {
    let path = std::env::temp_dir().join(std::format!("litebox-loader-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

fn arguments(path: &str, argv: &[&str]) -> Arguments {
    let strings = |all: &[&str]| all.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
    Arguments { argv: strings(argv), envp: strings(&["A=1", "B=22"]), path: path.as_bytes().to_vec() }
}

const LIMITS: Limits = Limits { stack: 8 << 20, ..Limits::NONE };

fn word(addr: u64) -> u64 {
    let mut bytes = [0u8; 8];
    let n = host().copy_from_user(&mut bytes, addr as usize);
    assert_eq!(n, 8, "{addr:#x}");
    u64::from_le_bytes(bytes)
}

fn string(addr: u64) -> Vec<u8> {
    (0..1 << 20).map(|i| (word(addr + i) & 0xff) as u8).take_while(|b| *b != 0).collect()
}

#[test]
fn a_dynamic_program_gets_what_linux_gives_it() {
    let mm = Mm::default();
    let prepared = prepare(arguments("/bin/true", &["true", "-x"]), LIMITS.stack, &open_path).unwrap();
    let ids = AuxIds { uid: 7, ..AuxIds::default() };
    let loaded = load_into(&mm, &LIMITS, prepared, &ids).unwrap();
    let rsp = loaded.registers.rsp;
    assert_eq!(rsp % 16, 0);
    assert_eq!(word(rsp), 2);
    assert_eq!(string(word(rsp + 8)), b"true");
    assert_eq!(string(word(rsp + 16)), b"-x");
    assert_eq!(word(rsp + 24), 0);
    assert_eq!(string(word(rsp + 32)), b"A=1");
    assert_eq!(string(word(rsp + 40)), b"B=22");
    assert_eq!(word(rsp + 48), 0);
    let mut aux = BTreeMap::new();
    for at in (rsp + 56..).step_by(16) {
        if word(at) == 0 {
            break;
        }
        assert!(aux.insert(word(at), word(at + 8)).is_none(), "twice");
    }
    assert_eq!(string(aux[&31]), b"/bin/true");
    assert_eq!(string(aux[&15]), b"x86_64");
    assert_eq!((aux[&11], aux[&23], aux[&4], aux[&6]), (7, 0, 56, 4096));
    assert_ne!(word(aux[&25]), word(aux[&25] + 8));
    // The program headers and the interpreter are where it says.
    assert_eq!(word(aux[&3]) as u32, 6, "PT_PHDR is first");
    assert_eq!(word(aux[&7]) as u32, u32::from_le_bytes(*b"\x7fELF"));
    assert!(mm.vma_at(aux[&9] as usize).unwrap().prot.contains(litebox::platform::Prot::EXEC));
    assert!(mm.vma_at(loaded.registers.rip as usize).unwrap().object.file().is_some());
    assert_eq!(mm.vma_at(rsp as usize).unwrap().name, VmaName::Stack);
    assert_eq!(loaded.image.cmdline, b"true\0-x\0");
    assert_eq!(loaded.image.name, b"true");
    let (heap, _) = mm.brk_range();
    assert_eq!(mm.brk(heap + 10_000, &LIMITS), heap + 10_000);
    mm.reset(mm.layout());
}

#[test]
fn arguments_have_limits() {
    let long = "x".repeat(128 << 10);
    let refused = |argv: &[&str]| prepare(arguments("/bin/true", argv), LIMITS.stack, &open_path).err();
    assert_eq!(refused(&["true", &long]), Some(Error::TooBig));
    assert_eq!(refused(&["true", &long[1..]]), None);
    let many = std::vec![&long[..100_000]; 30];
    assert_eq!(refused(&many), Some(Error::TooBig));
    let one_mb = std::vec![&long[..1000]; 1000];
    let prepared = prepare(arguments("/bin/true", &one_mb), LIMITS.stack, &open_path).unwrap();
    let mm = Mm::default();
    let loaded = load_into(&mm, &LIMITS, prepared, &AuxIds::default()).unwrap();
    assert_eq!(word(loaded.registers.rsp), 1000);
    mm.reset(mm.layout());
}

#[test]
fn scripts_lead_to_interpreters() {
    let open = |path: &[u8]| match path {
        b"script" => Ok(open_file(file_of("script", b"#!second  -a b \nrest"))),
        b"second" => Ok(open_file(file_of("second", b"#!/bin/true\n"))),
        b"loop" => Ok(open_file(file_of("loop", b"#!loop\n"))),
        b"empty" => Ok(open_file(file_of("empty", b""))),
        b"text" => Ok(open_file(file_of("text", b"echo hello\n"))),
        other => open_path(other),
    };
    let prepared = prepare(arguments("script", &["s", "last"]), LIMITS.stack, &open).unwrap();
    let argv: Vec<&[u8]> = prepared.arguments.argv.iter().map(Vec::as_slice).collect();
    assert_eq!(argv, [b"/bin/true".as_slice(), b"second", b"-a b", b"script", b"last"]);
    assert_eq!(prepared.arguments.path, b"script");
    let error = |path: &str| prepare(arguments(path, &[path]), LIMITS.stack, &open).err();
    assert_eq!(error("loop"), Some(Error::Loop));
    assert_eq!(error("empty"), Some(Error::NotExecutable));
    assert_eq!(error("text"), Some(Error::NotExecutable));
    assert_eq!(error("/nowhere"), Some(Error::NotFound));
}

#[test]
fn damaged_programs_are_refused_or_loaded() {
    let whole = std::fs::read("/bin/true").unwrap();
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    };
    let (mut refused, mut loaded) = (0, 0);
    for round in 0..1500 {
        let mut bytes = whole.clone();
        for _ in 0..=random() % 4 {
            let at = (random() % 900) as usize;
            let values = [random() as u8, 0, 0xff, 0x7f, 0x80];
            bytes[at] = values[(random() % 5) as usize];
            if random() % 3 == 0 {
                let word = random().wrapping_mul(random()) >> (random() % 64);
                bytes[at & !7..][..8].copy_from_slice(&word.to_le_bytes());
            }
        }
        if round % 10 == 0 {
            bytes.truncate((random() % 4000) as usize);
        }
        let name = std::format!("damaged{round}");
        let open = |path: &[u8]| {
            if path == b"damaged" { Ok(open_file(file_of(&name, &bytes))) } else { open_path(path) }
        };
        let mm = Mm::default();
        match prepare(arguments("damaged", &["damaged"]), LIMITS.stack, &open) {
            Err(_) => refused += 1,
            Ok(prepared) => {
                match load_into(&mm, &LIMITS, prepared, &AuxIds::default()) {
                    Ok(_) => loaded += 1,
                    Err(_) => refused += 1,
                }
                mm.reset(mm.layout());
            }
        }
    }
    assert!(refused > 100 && loaded > 100, "{refused} refused, {loaded} loaded");
}

#[test]
fn noise_is_no_program() {
    let span = host().user_span();
    for len in [0, 1, 63, 64, 200] {
        let file = TestFile(file_of(&std::format!("noise{len}"), &std::vec![0x41; len]));
        assert_eq!(Elf::read(&file, span), Err(Error::NotExecutable));
    }
}
