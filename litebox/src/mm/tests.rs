//! The map against a model of single pages, with real memory below.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::io::{Dest, Source};
use crate::platform::{FaultAccess, MapMode, Prot, host};

use super::{
    Advise, FaultClass, Layout, Limits, MAX_VMAS, MapRequest, MappedPages, Mm, Object, PAGE, Placement, Reach,
    RemapRequest, STACK_GAP, VmaFlags,
    arena::{Arena, PageCache},
    vma::Vma,
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    prot: Prot,
    value: u64,
}

const PAGES: usize = 48;

fn new_mm() -> Mm {
    Mm::new(Layout::random(8 << 20))
}

fn fixed(addr: usize, pages: usize, prot: Prot) -> MapRequest {
    MapRequest::anonymous(Placement::Fixed { addr, replace: true }, pages * PAGE, prot)
}

fn anywhere(pages: usize) -> MapRequest {
    MapRequest::anonymous(Placement::Anywhere { hint: 0, reach: Reach::Whole }, pages * PAGE, Prot::READ | Prot::WRITE)
}

fn read_word(addr: usize) -> Option<u64> {
    let mut bytes = [0u8; 8];
    let n = host().copy_from_user(&mut bytes, addr);
    (n == 8).then(|| u64::from_le_bytes(bytes))
}

fn write_word(addr: usize, value: u64) -> bool {
    host().copy_to_user(addr, &value.to_le_bytes()) == size_of::<u64>()
}

fn check_order(vmas: &[Vma]) {
    for pair in vmas.windows(2) {
        assert!(pair[0].end <= pair[1].start, "areas overlap");
        assert!(!pair[0].joins(&pair[1]), "neighbours that are alike are one area");
    }
}

fn compare(mm: &Mm, base: usize, model: &[Option<Page>]) {
    let vmas = mm.vmas();
    check_order(&vmas);
    let usage = mm.usage();
    assert_eq!(usage.total, vmas.iter().map(Vma::len).sum());
    assert_eq!(usage.data, vmas.iter().filter(|a| a.is_data()).map(Vma::len).sum());
    for (i, page) in model.iter().enumerate() {
        let addr = base + i * PAGE;
        let vma = mm.vma_at(addr);
        assert_eq!(vma.map(|a| a.prot), page.map(|p| p.prot), "page {i}");
        let readable = page.filter(|p| !p.prot.is_empty());
        assert_eq!(read_word(addr), readable.map(|p| p.value), "content of page {i}");
    }
}

fn random_prot(random: &mut Random) -> Prot {
    [Prot::empty(), Prot::READ, Prot::READ | Prot::WRITE, Prot::READ | Prot::WRITE][random.below(4)]
}

#[test]
fn agrees_with_a_model_of_pages() {
    for seed in 1..40 {
        let mut random = Random(seed * 0x9e37_79b9);
        let mm = new_mm();
        let base = mm.layout().lowest + ((seed as usize) << 32);
        let mut model: Vec<Option<Page>> = std::vec![None; PAGES];
        for _ in 0..300 {
            let first = random.below(PAGES);
            let n = 1 + random.below((PAGES - first).min(12));
            let (addr, len) = (base + first * PAGE, n * PAGE);
            match random.below(7) {
                0 | 1 => {
                    let prot = random_prot(&mut random);
                    assert_eq!(mm.map(fixed(addr, n, prot), &Limits::NONE), Ok(addr));
                    model[first..first + n].fill(Some(Page { prot, value: 0 }));
                }
                2 => {
                    assert_eq!(mm.unmap(addr, len), Ok(()));
                    model[first..first + n].fill(None);
                }
                3 => {
                    let prot = random_prot(&mut random);
                    let outcome = mm.protect(addr, len, prot, false, &Limits::NONE);
                    let mapped = model[first..first + n].iter().take_while(|p| p.is_some()).count();
                    assert_eq!(outcome, if mapped == n { Ok(()) } else { Err(Error::NoMemory) });
                    model[first..first + mapped].iter_mut().flatten().for_each(|p| p.prot = prot);
                }
                4 => {
                    let value = random.next();
                    let writable = model[first].is_some_and(|p| p.prot.contains(Prot::WRITE));
                    assert_eq!(write_word(addr, value), writable);
                    if let Some(page) = model[first].as_mut().filter(|_| writable) {
                        page.value = value;
                    }
                }
                5 => {
                    let target = random.below(PAGES);
                    let new = 1 + random.below((PAGES - target).min(12));
                    remap(&mm, base, &mut model, (first, n), (target, new));
                }
                _ => {
                    let anonymous = Advise::Host(crate::platform::Advice::DontNeed);
                    let covered = model[first..first + n].iter().all(Option::is_some);
                    let outcome = mm.advise(addr, len, anonymous, |_| Ok(()));
                    assert_eq!(outcome.is_ok(), covered);
                    model[first..first + n].iter_mut().flatten().for_each(|p| p.value = 0);
                }
            }
            compare(&mm, base, &model);
        }
        mm.reset(Layout::random(0));
        assert_eq!(mm.usage().vmas, 0);
        assert_eq!(read_word(base), None);
    }
}

fn remap(mm: &Mm, base: usize, model: &mut [Option<Page>], old: (usize, usize), new: (usize, usize)) {
    let request = RemapRequest {
        old: base + old.0 * PAGE,
        old_len: old.1 * PAGE,
        new_len: new.1 * PAGE,
        may_move: true,
        fixed: Some(base + new.0 * PAGE),
        reach: Reach::Whole,
        hint: 0,
        keep_old: false,
    };
    let overlap = new.0 < old.0 + old.1 && old.0 < new.0 + new.1;
    let before: Vec<Option<Page>> = model[old.0..old.0 + old.1].to_vec();
    match mm.remap(&request, &Limits::NONE) {
        Ok(addr) => {
            assert!(!overlap);
            assert_eq!(addr, base + new.0 * PAGE);
            let keep = old.1.min(new.1);
            assert!(before[..keep].iter().all(|p| p.map(|p| p.prot) == before[0].map(|p| p.prot)));
            model[old.0..old.0 + old.1].fill(None);
            for i in 0..new.1 {
                let prot = before[0].map_or(Prot::empty(), |p| p.prot);
                let value = before.get(i).copied().flatten().map_or(0, |p| p.value);
                model[new.0 + i] = Some(Page { prot, value });
            }
        }
        Err(error) => {
            assert!(matches!(error, Error::Fault | Error::Invalid));
            assert!(error == Error::Fault || overlap);
            // The host may keep apart what is one vma here, and finds that out last.
            let cut = (old.0 + new.1.min(old.1)..old.0 + old.1).chain(new.0..new.0 + new.1);
            for i in cut.filter(|_| !overlap) {
                if mm.vma_at(base + i * PAGE).is_none() {
                    model[i] = None;
                }
            }
        }
    }
}

#[test]
fn chosen_places_are_free_and_high() {
    let mm = new_mm();
    let base = mm.layout().mmap_base;
    let a = mm.map(anywhere(4), &Limits::NONE).unwrap();
    let b = mm.map(anywhere(4), &Limits::NONE).unwrap();
    assert_eq!((a, b), (base - 4 * PAGE, base - 8 * PAGE));
    // Neighbours alike become one vma, and come apart again.
    assert_eq!(mm.usage().vmas, 1);
    mm.unmap(a, PAGE).unwrap();
    assert_eq!(mm.usage().vmas, 2);
    // The hole is found again by what fits, passed over by what does not.
    let c = mm.map(anywhere(2), &Limits::NONE).unwrap();
    assert_eq!(c, base - 10 * PAGE);
    assert_eq!(mm.map(anywhere(1), &Limits::NONE), Ok(a));
    // A hint counts when there is room.
    let mut hinted = anywhere(1);
    hinted.placement = Placement::Anywhere { hint: base - 100 * PAGE, reach: Reach::Whole };
    assert_eq!(mm.map(hinted, &Limits::NONE), Ok(base - 100 * PAGE));
    let huge = mm.map(anywhere(1024), &Limits::NONE).unwrap();
    assert_eq!(huge % (2 << 20), 0);
    mm.reset(Layout::random(0));
}

#[test]
fn foreign_mappings_of_the_host_are_left_alone() {
    let mm = new_mm();
    let base = mm.layout().mmap_base;
    let foreign = base - 3 * PAGE;
    host().map(foreign, PAGE, Prot::READ, MapMode::empty(), crate::platform::Backing::Anonymous).unwrap();
    let a = mm.map(anywhere(8), &Limits::NONE).unwrap();
    assert!(a + 8 * PAGE <= foreign || a > foreign);
    host().unmap(foreign, PAGE).unwrap();
    mm.reset(Layout::random(0));
}

#[test]
fn limits_hold() {
    let mm = new_mm();
    let limits = Limits { address_space: 64 * PAGE as u64, ..Limits::NONE };
    assert_eq!(mm.map(anywhere(65), &limits), Err(Error::NoMemory));
    mm.map(anywhere(60), &limits).unwrap();
    assert_eq!(mm.map(anywhere(5), &limits), Err(Error::NoMemory));
    let limits = Limits { data: 61 * PAGE as u64, ..Limits::NONE };
    assert_eq!(mm.map(anywhere(2), &limits), Err(Error::NoMemory));
    let mut locked = anywhere(2);
    locked.flags = VmaFlags::LOCKED;
    assert_eq!(mm.map(locked, &Limits { locked: PAGE as u64, ..Limits::NONE }), Err(Error::WouldBlock));
    mm.reset(Layout::random(0));
}

#[test]
fn many_areas_end_at_the_limit() {
    let mm = new_mm();
    let addr = mm.map(anywhere(2 * 20_000), &Limits::NONE).unwrap();
    for i in 0..20_000 {
        mm.protect(addr + 2 * i * PAGE, PAGE, Prot::READ, false, &Limits::NONE).unwrap();
    }
    assert_eq!(mm.usage().vmas, 40_000);
    assert!(mm.usage().vmas < MAX_VMAS);
    for i in 0..20_000 {
        mm.protect(addr + 2 * i * PAGE, PAGE, Prot::READ | Prot::WRITE, false, &Limits::NONE).unwrap();
    }
    assert_eq!(mm.usage().vmas, 1);
    mm.reset(Layout::random(0));
}

#[test]
fn the_heap_moves_and_stops_at_its_neighbour() {
    let mm = new_mm();
    let start = mm.layout().lowest + (77 << 30);
    mm.set_brk_start(start + 100);
    assert_eq!(mm.brk(0, &Limits::NONE), start + 100);
    assert_eq!(mm.brk(start + 5 * PAGE, &Limits::NONE), start + 5 * PAGE);
    assert!(write_word(start + 4 * PAGE, 7));
    mm.map(fixed(start + 8 * PAGE, 1, Prot::READ), &Limits::NONE).unwrap();
    assert_eq!(mm.brk(start + 8 * PAGE, &Limits::NONE), start + 5 * PAGE);
    assert_eq!(mm.brk(start + 7 * PAGE, &Limits::NONE), start + 7 * PAGE);
    assert_eq!(mm.brk(start + 200, &Limits::NONE), start + 200);
    assert_eq!(read_word(start + 4 * PAGE), None);
    mm.reset(Layout::random(0));
}

#[test]
fn stacks_grow_to_their_limit_and_keep_their_distance() {
    let mm = new_mm();
    let top = mm.layout().lowest + (99 << 30);
    let mut stack = fixed(top - 4 * PAGE, 4, Prot::READ | Prot::WRITE);
    stack.flags = VmaFlags::GROWSDOWN | VmaFlags::STACK;
    mm.map(stack, &Limits::NONE).unwrap();
    let limits = Limits { stack: 1024 * PAGE as u64, ..Limits::NONE };
    assert!(!write_word(top - 6 * PAGE, 1));
    assert!(mm.resolve_fault(top - 6 * PAGE, true, &limits));
    assert!(write_word(top - 6 * PAGE, 1));
    assert_eq!(mm.usage().vmas, 1);
    assert!(!mm.resolve_fault(top - 1025 * PAGE, true, &limits));
    // A neighbour closer than the gap stops it.
    mm.map(fixed(top - STACK_GAP - 20 * PAGE, 1, Prot::READ), &Limits::NONE).unwrap();
    assert!(mm.resolve_fault(top - 19 * PAGE, true, &limits));
    assert!(!mm.resolve_fault(top - 20 * PAGE, true, &limits));
    mm.reset(Layout::random(0));
}

fn pages_request(file: &Arc<PageCache>, pages: usize, shared: bool) -> MapRequest {
    let mut request = anywhere(pages);
    request.object = Object::Pages { pages: MappedPages::new(file.clone()), file: None };
    request.flags.set(VmaFlags::SHARED, shared);
    request
}

#[test]
fn files_of_the_arena_agree_with_plain_bytes() {
    let arena = Arena::part(0, 32 << 20);
    let before = arena.free_bytes();
    for seed in 1..30 {
        let mut random = Random(seed * 0x77_7777);
        let file = PageCache::new(&arena);
        let mut model: Vec<u8> = Vec::new();
        for step in 0..200 {
            let (offset, len) = (random.below(60_000), random.below(20_000));
            match random.below(5) {
                0 | 1 => {
                    let bytes = std::vec![step as u8 + 1; len];
                    assert_eq!(file.write_at(&mut Source::kernel(&bytes), offset as u64), Ok(len));
                    if len > 0 {
                        model.resize(model.len().max(offset + len), 0);
                        model[offset..offset + len].copy_from_slice(&bytes);
                    }
                }
                2 => {
                    file.set_size(offset as u64).unwrap();
                    model.resize(offset, 0);
                }
                3 => {
                    file.punch(offset as u64, len as u64);
                    let end = model.len().min(offset + len);
                    if offset < end {
                        model[offset..end].fill(0);
                    }
                }
                _ => {
                    let mut got = std::vec![0xaa; len];
                    let n = file.read_at(&mut Dest::kernel(&mut got), offset as u64).unwrap();
                    let expected = model.get(offset..).unwrap_or_default();
                    assert_eq!(&got[..n], &expected[..expected.len().min(len)]);
                }
            }
            assert_eq!(file.size(), model.len() as u64);
        }
    }
    assert_eq!(arena.free_bytes(), before);
    shared_mappings(&arena);
    private_mappings(&arena);
    assert_eq!(arena.free_bytes(), before);
}

fn shared_mappings(arena: &Arc<Arena>) {
    let mm = new_mm();
    let file = PageCache::new(arena);
    // Another file in between scatters the pages.
    let other = PageCache::new(arena);
    for page in 0..4u64 {
        file.write_at(&mut Source::kernel(&[page as u8 + 1; PAGE]), page * PAGE as u64).unwrap();
        other.write_at(&mut Source::kernel(&[9; PAGE]), page * PAGE as u64).unwrap();
    }
    let addr = mm.map(pages_request(&file, 6, true), &Limits::NONE).unwrap();
    assert_eq!(read_word(addr + 3 * PAGE), Some(0x0404_0404_0404_0404));
    assert!(write_word(addr + PAGE, 77));
    let mut word = [0; 8];
    file.read_at(&mut Dest::kernel(&mut word), PAGE as u64).unwrap();
    assert_eq!(u64::from_le_bytes(word), 77);
    // Behind the end of the file is nothing, until it grows.
    assert_eq!(read_word(addr + 4 * PAGE), None);
    assert!(!mm.resolve_fault(addr + 4 * PAGE, false, &Limits::NONE));
    assert_eq!(mm.classify_fault(addr + 4 * PAGE, FaultAccess::Read), FaultClass::PastEnd);
    file.write_at(&mut Source::kernel(&[5; 10]), 4 * PAGE as u64).unwrap();
    assert!(mm.resolve_fault(addr + 4 * PAGE, false, &Limits::NONE));
    assert_eq!(read_word(addr + 4 * PAGE), Some(0x0505_0505_0505_0505));
    assert!(!mm.resolve_fault(addr + 5 * PAGE, false, &Limits::NONE));
    // A protection change leaves what is not there alone; a move takes everything along.
    mm.protect(addr, 6 * PAGE, Prot::READ, false, &Limits::NONE).unwrap();
    assert_eq!(read_word(addr + 5 * PAGE), None);
    assert_eq!(mm.usage().vmas, 1);
    let request = RemapRequest {
        old: addr,
        old_len: 6 * PAGE,
        new_len: 9 * PAGE,
        may_move: true,
        fixed: Some(addr - 100 * PAGE),
        reach: Reach::Whole,
        hint: 0,
        keep_old: false,
    };
    let moved = mm.remap(&request, &Limits::NONE).unwrap();
    assert_eq!((read_word(moved + PAGE), read_word(moved + 5 * PAGE)), (Some(77), None));
    assert_eq!(read_word(addr), None);
    // While it is mapped, a cut file keeps its pages, and the map can take them out of sight.
    file.set_size(PAGE as u64).unwrap();
    assert_eq!(read_word(moved + PAGE), Some(0));
    mm.cut_pages(Arc::as_ptr(&file).addr(), PAGE as u64);
    assert_eq!((read_word(moved).is_some(), read_word(moved + PAGE)), (true, None));
    mm.reset(Layout::random(0));
}

fn private_mappings(arena: &Arc<Arena>) {
    let mm = new_mm();
    let file = PageCache::new(arena);
    let other = PageCache::new(arena);
    for page in 0..3u64 {
        file.write_at(&mut Source::kernel(&[page as u8 + 1; PAGE]), page * PAGE as u64).unwrap();
        other.write_at(&mut Source::kernel(&[9; 1]), page * PAGE as u64).unwrap();
    }
    let addr = mm.map(pages_request(&file, 3, false), &Limits::NONE).unwrap();
    assert!(write_word(addr + PAGE, 42));
    let mut word = [0; 8];
    file.read_at(&mut Dest::kernel(&mut word), PAGE as u64).unwrap();
    assert_eq!(word, [2; 8]);
    let request = RemapRequest {
        old: addr,
        old_len: 3 * PAGE,
        new_len: 3 * PAGE,
        may_move: true,
        fixed: Some(addr - 50 * PAGE),
        reach: Reach::Whole,
        hint: 0,
        keep_old: false,
    };
    let moved = mm.remap(&request, &Limits::NONE).unwrap();
    assert_eq!((read_word(moved + PAGE), read_word(moved + 2 * PAGE)), (Some(42), Some(0x0303_0303_0303_0303)));
    mm.reset(Layout::random(0));
}

#[test]
fn what_is_written_behind_the_end_survives_readers_that_leave() {
    let arena = Arena::part(61 << 20, 1 << 20);
    let file = PageCache::new(&arena);
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut buffer = [0u8; 600];
            while !over.load(Ordering::Relaxed) {
                file.read_at(&mut Dest::kernel(&mut buffer), 0).unwrap();
            }
        });
        for _ in 0..300_000 {
            file.set_size(0).unwrap();
            file.write_at(&mut Source::kernel(&[7; 512]), 0).unwrap();
            let mut buffer = [0u8; 512];
            file.read_at(&mut Dest::kernel(&mut buffer), 0).unwrap();
            if buffer != [7; 512] {
                over.store(true, Ordering::Relaxed);
                panic!("what was written is gone");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn few_holes_are_filled_at_once() {
    let arena = Arena::part(44 << 20, 8 << 20);
    let file = PageCache::new(&arena);
    file.set_size(1 << 40).unwrap();
    assert!(file.is_dense(1 << 30, 64 << 20));
    assert!(!file.is_dense(0, 1 << 40));
    assert!(!file.is_dense(1 << 39, 65 << 20));
    // Behind its end a file has no holes.
    assert!(file.is_dense((1 << 40) - (1 << 20), 1 << 40));
    file.set_size(1 << 20).unwrap();
    assert!(file.is_dense(0, 1 << 40));
    assert_eq!(file.figures().1, 0);
}
