//! The same random calls to the map and to the kernel that the tests run on: both must answer alike.

extern crate std;

use alloc::vec::Vec;

use litebox::fs::OpenFile;
use litebox::mm::{Limits, Reach};
use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::abi::memory::{Advice, MapFlags, MlockFlags, MsyncFlags, Protection, RemapFlags};

use super::{MemoryMap, MmapCall, MremapCall};

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
    fn __errno_location() -> *const i32;
}

const PAGE: u64 = litebox::mm::PAGE as u64;
const WINDOW: u64 = 40 * PAGE;

/// A call's answer relative to the window it works in.
fn relative(base: u64, answer: i64) -> i64 {
    if answer > 0 { answer - base as i64 } else { answer }
}

fn kernel(base: u64, number: i64, args: [u64; 6]) -> i64 {
    // SAFETY: all calls change only the window, which nothing else uses.
    let answer = unsafe { syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    // SAFETY: the C library's pointer to the calling thread's errno.
    relative(base, if answer == -1 { -i64::from(unsafe { *__errno_location() }) } else { answer })
}

fn ours(base: u64, answer: Result<usize>) -> i64 {
    relative(base, answer.map_or_else(|e| -i64::from(e.errno()), |v| v as i64))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
    fn pick(&mut self, from: &[u64]) -> u64 {
        from[self.below(from.len() as u64) as usize]
    }
}

fn no_file() -> Result<alloc::sync::Arc<OpenFile>> {
    Err(Error::BadDescriptor)
}

/// Where a random call goes and how long it is: mostly whole pages in the window, at times nonsense.
fn place(random: &mut Random) -> (u64, u64) {
    let page = random.below(WINDOW / PAGE - 8);
    let len = 1 + random.below(8);
    let odd = random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 100]);
    let short = random.pick(&[0, 0, 0, 0, 1, 4095]);
    match random.below(40) {
        0 => (page * PAGE, 0),
        1 => (page * PAGE, u64::MAX - random.below(10_000)),
        _ => (page * PAGE + odd, len * PAGE - short),
    }
}

#[expect(clippy::type_complexity, reason = "the two sides of one call")]
fn call(random: &mut Random) -> (i64, [u64; 6], fn(&MemoryMap, [u64; 6]) -> Result<usize>, std::string::String) {
    let (addr, len) = place(random);
    let prot = random.pick(&[0, 1, 3, 3, 3, 5, 7, 2, 4, 8, 0x10, 0x100_0003, 0x200_0001]);
    match random.below(8) {
        0 | 1 => {
            let flags = 0x20
                | random.pick(&[
                    0x12, 0x12, 0x12, 0x10_0002, 0x10_0012, 0x4012, 0x2_0012, 0x10, 0x13, 0x8012, 0x14, 0x11, 0x11,
                ]);
            let args = [addr, len, prot & 7, flags, u64::MAX, random.pick(&[0, 0, 0, 0, 100, 4096])];
            (
                9,
                args,
                |m, a| {
                    let (addr, len, prot, flags, offset) =
                        (a[0], a[1], Protection(a[2] as usize), MapFlags(a[3] as usize), a[5]);
                    m.mmap(&MmapCall { addr, len, prot, flags, offset, loads: false, reach: Reach::Whole }, no_file)
                },
                std::format!("mmap {args:x?}"),
            )
        }
        2 => {
            let args = [addr, len, 0, 0, 0, 0];
            (11, args, |m, a| m.munmap(a[0], a[1]).map(|()| 0), std::format!("munmap {args:x?}"))
        }
        3 => {
            let args = [addr, len, prot, 0, 0, 0];
            (
                10,
                args,
                |m, a| m.mprotect(a[0], a[1], Protection(a[2] as usize)).map(|()| 0),
                std::format!("mprotect {args:x?}"),
            )
        }
        4 => {
            let (new, new_len) = place(random);
            // Which error a size beyond all memory gives differs between kernels.
            let len = len.min(WINDOW);
            let flags = random.pick(&[0, 3, 3, 3, 2, 7, 8, 4]);
            let args = [addr, len, new_len, flags, new, 0];
            (
                25,
                args,
                |m, a| {
                    let [old, old_len, new_len, flags, new, _] = a;
                    m.mremap(&MremapCall {
                        old,
                        old_len,
                        new_len,
                        flags: RemapFlags(flags as usize),
                        new,
                        reach: Reach::Whole,
                    })
                },
                std::format!("mremap {args:x?}"),
            )
        }
        5 => {
            let advice = random.pick(&[0, 1, 2, 3, 4, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 50]);
            let args = [addr, len, advice, 0, 0, 0];
            (28, args, |m, a| m.madvise(a[0], a[1], Advice(a[2] as i32)).map(|()| 0), std::format!("madvise {args:x?}"))
        }
        6 => {
            let args = [addr, len, random.pick(&[0, 1, 2, 4, 5, 6, 8]), 0, 0, 0];
            (
                26,
                args,
                |m, a| m.msync(a[0], a[1], MsyncFlags(a[2] as usize)).map(|()| 0),
                std::format!("msync {args:x?}"),
            )
        }
        _ => {
            let args = [addr, len, 0, 0, 0, 0];
            if random.below(2) == 0 {
                (
                    149,
                    args,
                    |m, a| m.mlock(a[0], a[1], MlockFlags::empty(), true).map(|()| 0),
                    std::format!("mlock {args:x?}"),
                )
            } else {
                (150, args, |m, a| m.munlock(a[0], a[1]).map(|()| 0), std::format!("munlock {args:x?}"))
            }
        }
    }
}

/// Which arguments are addresses.
fn at(base: u64, number: i64, mut args: [u64; 6]) -> [u64; 6] {
    args[0] += base;
    if number == 25 {
        args[4] += base;
    }
    args
}

#[test]
fn answers_are_those_of_linux() {
    let mut bad = Vec::new();
    let arena = litebox::mm::arena::Arena::new();
    for seed in 1..1500u64 {
        let map = MemoryMap::new(&arena);
        map.set_limits(Limits::NONE);
        let mut random = Random(seed * 0x1234_5671);
        let low = host().user_span().0 as u64 + (1 << 40);
        let (mine, theirs) = (low + (seed << 30), low + (1 << 42) + (seed << 30));
        let mut log = Vec::new();
        for _ in 0..60 {
            let (number, args, run, text) = call(&mut random);
            let expected = kernel(theirs, number, at(theirs, number, args));
            let got = ours(mine, run(&map, at(mine, number, args)));
            log.push(std::format!("{text} = {expected}"));
            if got == -14 && expected >= 0 && number == 25 {
                // Linux since 6.17 moves several vmas at once; before, and here, that is EFAULT.
                break;
            }
            if got != expected {
                let last: Vec<_> = log.iter().rev().take(12).cloned().collect();
                bad.push(std::format!("seed {seed}: got {got}: {}", last.join("\n    ")));
                break;
            }
        }
        map.core().reset(map.core().layout());
        kernel(theirs, 11, [theirs, WINDOW, 0, 0, 0, 0]);
    }
    assert!(bad.is_empty(), "{} seeds differ:\n{}", bad.len(), bad.join("\n"));
}
