//! Where the kernel's memory lies, the same in all processes of a sandbox.
//!
//! A new process pays for page tables: three pages of them for memory that lies far from all other, one for memory in
//! the same gigabyte. So the heap begins right above this program's image, and the kernel stacks end right below it.

use litebox::platform::HostFd;
use litebox_common_linux::abi::memory::{MAP_FIXED_NOREPLACE, MAP_NORESERVE, PAGE};

use crate::host::call::{MADV_DONTFORK, host_call, map_at, nr};
use crate::host::published::Published;
use crate::host::start_error::{StartError, step};
use crate::host::thread_block::region_len;

/// Where guests may map, low end: vm.mmap_min_addr's usual value.
const USER_START: usize = 0x1_0000;
/// Where they may map, high end, whatever the host does; the kernel's memory lies above.
const LEAST_USER_END: usize = 0x6f00_0000_0000;
/// The end is a multiple of this.
const USER_END_STEP: usize = 1 << 36;
/// The kernel's memory lies above this; where there is no room beside the image, at a random place in the span.
const KERNEL_START: usize = 0x7000_0000_0000;
const KERNEL_SPREAD: usize = 0x0800_0000_0000;
/// Addresses for the heap. Sparse: only touched pages cost memory.
pub(crate) const HEAP_LEN: usize = 16 << 30;
/// What one entry of a page table of the second level maps.
pub(crate) const HUGE: usize = 2 << 20;
/// Bytes for trampolines; pages that no trampoline lies in cost nothing.
pub(crate) const TRAMPOLINES_LEN: usize = 256 << 20;
/// Bytes for copies of code.
pub(crate) const TEXT_CACHE_LEN: usize = 64 << 20;
/// Both.
pub(crate) const CODE_LEN: usize = TRAMPOLINES_LEN + TEXT_CACHE_LEN;
/// Between regions.
const GAP: usize = 1 << 30;
/// Places beside the image that are tried.
const ATTEMPTS: usize = 16;

/// What a sandbox needs of the limits that it is started under (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Bytes of the largest of its files in memory. They are sparse.
    pub file_size: u64,
    /// Bytes of addresses of each of its processes, programs not counted.
    pub addresses: u64,
}

/// What a sandbox with an arena of so many bytes needs.
pub fn needs(arena_size: u64) -> Needs {
    let objects = arena_size.next_multiple_of(HUGE as u64).saturating_add(CODE_LEN as u64);
    let heap = HEAP_LEN as u64;
    Needs { file_size: objects.max(heap), addresses: heap.saturating_add(objects) + region_len() as u64 }
}

/// Places in the address space.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) user: (usize, usize),
    pub(crate) vdso: (usize, usize),
    pub(crate) heap: (usize, usize),
    pub(crate) arena: (usize, usize),
    /// Behind the arena, in the same memory object: pages of trampolines.
    pub(crate) trampolines: (usize, usize),
    /// Behind them: patched copies of code.
    pub(crate) text_cache: (usize, usize),
    pub(crate) stacks: (usize, usize),
    pub(crate) image: (usize, usize),
}

/// Where everything lies.
pub(crate) static LAYOUT: Published<Layout> = Published::nothing();
/// The memory object of the arena and what lies behind it.
pub(crate) static ARENA: Published<HostFd> = Published::nothing();

impl Layout {
    /// Maps the heap and the arena, and reserves the kernel stacks.
    pub(crate) fn map(heap: HostFd, arena: HostFd, arena_len: usize) -> Result<Self, StartError> {
        let image = crate::host::system::image_span();
        let objects_len = arena_len + CODE_LEN;
        let above = |attempt: usize| crate::host::system::image_end().next_multiple_of(HUGE) + attempt * HUGE;
        let anywhere = random_start()?;
        // Below the image, and below the stacks there.
        let beneath = (image.0 & !(HUGE - 1)).saturating_sub(region_len() + ATTEMPTS * HUGE + GAP + HEAP_LEN);
        let heap_start = (0..ATTEMPTS)
            .map(above)
            .chain([beneath, anywhere])
            .find(|start| *start >= KERNEL_START && map(*start, HEAP_LEN, Mapped::Object(heap)).is_ok());
        let heap_start = step("mapping the kernel heap", heap_start.ok_or(litebox::Error::Exists))?;
        let heap = (heap_start, heap_start + HEAP_LEN);

        let mut places = [heap.1 + GAP, beneath.saturating_sub(GAP + objects_len) & !(HUGE - 1), anywhere].into_iter();
        let arena_start =
            places.find(|start| *start >= KERNEL_START && map(*start, objects_len, Mapped::Object(arena)).is_ok());
        let arena_start = step("mapping the page arena", arena_start.ok_or(litebox::Error::Exists))?;
        let arena = (arena_start, arena_start + arena_len);

        let len = region_len();
        let below = |attempt: usize| (image.0 & !(HUGE - 1)).saturating_sub(attempt * HUGE);
        let stacks_end = (0..ATTEMPTS)
            .map(below)
            .chain([anywhere - GAP])
            .find(|end| *end >= KERNEL_START + len && map(end - len, len, Mapped::Nothing).is_ok());
        let stacks_end = step("reserving kernel stacks", stacks_end.ok_or(litebox::Error::Exists))?;
        // Here it keeps others out. Nobody asks for a place in other processes.
        // SAFETY: the mapping just made. A host that refuses copies an empty one.
        let _ = unsafe { host_call!(nr::MADVISE, stacks_end - len, len, MADV_DONTFORK) };
        Ok(Self {
            user: (USER_START, user_end([image.0, heap.0, arena.0, stacks_end - len])),
            vdso: (0, 0),
            heap,
            arena,
            trampolines: (arena.1, arena.1 + TRAMPOLINES_LEN),
            text_cache: (arena.1 + TRAMPOLINES_LEN, arena.1 + CODE_LEN),
            stacks: (stacks_end - len, stacks_end),
            image,
        })
    }
}

impl Layout {
    /// Where the page for requests lies ([`RequestPage`](litebox_protocol::page::RequestPage)): behind all else of the
    /// arena's object.
    pub(crate) fn request_page(&self) -> usize {
        self.text_cache.1
    }

    /// Where the flags of changes lie ([`Op::LowerFlag`](litebox_protocol::Op::LowerFlag)).
    pub(crate) fn change_flags(&self) -> usize {
        self.request_page() + PAGE
    }

    /// Whether nothing of the kernel's lies between these addresses.
    pub(crate) fn is_apart(&self, (start, end): (usize, usize)) -> bool {
        let image = (self.image.0, crate::host::system::image_end());
        [self.heap, self.arena, self.trampolines, self.stacks, image].iter().all(|own| end <= own.0 || own.1 <= start)
    }
}

/// Where guests' addresses end: below everything of the kernel's, and as high as that lets them, because programs have
/// the layout of x86-64 built in (the sanitizers of compilers expect libraries and stacks above 0x7e80_0000_0000).
fn user_end(starts: [usize; 4]) -> usize {
    let lowest = starts.into_iter().filter(|start| *start >= KERNEL_START).min().unwrap_or(0);
    (lowest.saturating_sub(GAP) & !(USER_END_STEP - 1)).max(LEAST_USER_END)
}

fn random_start() -> Result<usize, StartError> {
    let mut random = [0u8; 8];
    // SAFETY: the buffer is valid.
    step("getrandom", unsafe { host_call!(nr::GETRANDOM, random.as_mut_ptr(), random.len(), 0) })?;
    let room = 2 * GAP + region_len();
    Ok((KERNEL_START + room + usize::from_le_bytes(random) % KERNEL_SPREAD) & !(HUGE - 1))
}

enum Mapped {
    /// A memory object, shared.
    Object(HostFd),
    /// The addresses are taken, no more.
    Nothing,
}

/// Maps `[start, start + len)` if nothing is there.
fn map(start: usize, len: usize, what: Mapped) -> litebox::Result<()> {
    const READ_WRITE: usize = 3;
    const SHARED: usize = 0x1;
    const PRIVATE_ANONYMOUS: usize = 0x22;
    let (prot, kind, fd) = match what {
        Mapped::Object(fd) => (READ_WRITE, SHARED, fd.0),
        Mapped::Nothing => (0, PRIVATE_ANONYMOUS, -1),
    };
    // SAFETY: NOREPLACE: nothing that exists is touched.
    unsafe { map_at(start, len, prot, kind | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd, 0) }
}
