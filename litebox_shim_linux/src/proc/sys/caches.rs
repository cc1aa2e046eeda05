//! /sys/devices/system/cpu/cpuN/cache: what the processor says of its caches (CPUID leaf 4 of Intel's, 0x8000001d of
//! AMD's processors).

use alloc::sync::Arc;

use litebox::fs::{FileType, Inode};
use litebox::{Error, Result};

use super::super::machine::{self, Processors};
use super::super::number;
use super::super::tree::{DynamicNames, EntryKind, Node, Subject, TableEntry, Text, put};
use super::{OfProcessor, value};

const INTEL_LEAF: u32 = 4;
const AMD_LEAF: u32 = 0x8000_001d;
/// More levels than any processor has.
const MOST: u32 = 16;
/// From this level on, all processors of a package share a cache.
const SHARED_LEVEL: u32 = 3;

pub(super) const DIRECTORY: TableEntry<OfProcessor> = TableEntry {
    name: "cache",
    permissions: 0o755,
    kind: EntryKind::Directory(
        &[value!("uevent", "")],
        Some(DynamicNames { lookup: cache_called, list: list_caches, file_type: FileType::Directory }),
    ),
};

/// A cache as the processor describes it.
#[derive(Clone, Copy)]
struct Cache {
    level: u32,
    kind: &'static str,
    line: u32,
    partitions: u32,
    ways: u32,
    sets: u32,
}

impl Cache {
    /// The `index`-th; `None` behind the last.
    fn describe(index: u32) -> Option<Self> {
        let described = |leaf| {
            let [eax, ebx, ecx, _] = machine::cpuid(leaf, index);
            let kind = match eax & 0x1f {
                1 => "Data",
                2 => "Instruction",
                3 => "Unified",
                _ => return None,
            };
            Some(Self {
                level: eax >> 5 & 7,
                kind,
                line: (ebx & 0xfff) + 1,
                partitions: (ebx >> 12 & 0x3ff) + 1,
                ways: (ebx >> 22) + 1,
                sets: ecx.saturating_add(1),
            })
        };
        described(INTEL_LEAF).or_else(|| described(AMD_LEAF))
    }
    fn kib(&self) -> u64 {
        [self.line, self.partitions, self.ways, self.sets].into_iter().map(u64::from).fold(1, u64::saturating_mul) >> 10
    }
}

/// A cache of a processor as what an entry is about.
#[derive(Clone)]
struct OfCache {
    processor: OfProcessor,
    cache: Cache,
}

impl OfCache {
    fn sharing(&self) -> Processors {
        let all = Processors::get();
        if self.cache.level >= SHARED_LEVEL { all } else { all.only(self.processor.place) }
    }
}

impl Subject for OfCache {
    type Snapshot = Self;
    fn view(&self) -> Result<Self> {
        Ok(self.clone())
    }
    fn dev(&self) -> u64 {
        self.processor.dev()
    }
    fn magic(&self) -> u64 {
        self.processor.magic()
    }
}

macro_rules! figure {
    ($name:literal, $of:expr) => {
        TableEntry::text($name, |of: &OfCache, out: &mut Text| {
            let figure: fn(&OfCache) -> _ = $of;
            put!(out, "{}\n", figure(of));
        })
    };
}

static CACHE: TableEntry<OfCache> = TableEntry::directory(
    "",
    &[
        figure!("coherency_line_size", |of| of.cache.line),
        figure!("id", |of| if of.cache.level >= SHARED_LEVEL { 0 } else { of.processor.place }),
        figure!("level", |of| of.cache.level),
        figure!("number_of_sets", |of| of.cache.sets),
        figure!("physical_line_partition", |of| of.cache.partitions),
        figure!("shared_cpu_list", |of| of.sharing().list()),
        figure!("shared_cpu_map", |of| of.sharing().mask()),
        figure!("size", |of| alloc::format!("{}K", of.cache.kib())),
        figure!("type", |of| of.cache.kind),
        value!("uevent", ""),
        figure!("ways_of_associativity", |of| of.cache.ways),
    ],
);

fn cache_called(processor: &OfProcessor, name: &[u8], ino: u64) -> Result<Arc<dyn Inode>> {
    let index = name.strip_prefix(b"index").and_then(number).and_then(|n| u32::try_from(n).ok());
    let index = index.filter(|index| *index < MOST).ok_or(Error::NotFound)?;
    let cache = Cache::describe(index).ok_or(Error::NotFound)?;
    Ok(Node::new(OfCache { processor: processor.clone(), cache }, &CACHE, ino))
}

#[expect(clippy::unnecessary_wraps, reason = "other directories' children may be gone")]
fn list_caches(_: &OfProcessor, from: u64, sink: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<()> {
    for index in 0..MOST {
        if Cache::describe(index).is_none() {
            break;
        }
        if u64::from(index) >= from && !sink(u64::from(index), alloc::format!("index{index}").as_bytes()) {
            break;
        }
    }
    Ok(())
}
