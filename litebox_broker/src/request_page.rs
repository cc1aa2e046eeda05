//! The page through which requests come while both sides are awake ([`RequestPage`]): the broker's one mapping that the
//! sandbox can write to. It is sealed, so that nobody can make it shorter and have the host end the broker for a look
//! at it.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use litebox_protocol::page::RequestPage;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

/// The page, mapped here until this is dropped.
pub struct MappedPage(NonNull<RequestPage>);

// SAFETY: it has nothing but atomics in it.
unsafe impl Send for MappedPage {}

impl MappedPage {
    /// A page of zeros, and the file for the sandbox to map.
    pub fn make() -> Result<(Self, OwnedFd), Errno> {
        let len = size_of::<RequestPage>();
        let file = rustix::fs::memfd_create("litebox-requests", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW)?;
        let (prot, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the host chooses a place where nothing is.
        let mapped = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, shared, &file, 0) }?;
        let page = NonNull::new(mapped.cast()).ok_or(Errno::NOMEM)?;
        Ok((Self(page), file))
    }
}

impl std::ops::Deref for MappedPage {
    type Target = RequestPage;

    fn deref(&self) -> &RequestPage {
        // SAFETY: it is mapped, of this size, zero at first, and all of it are atomics, whoever else writes there.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for MappedPage {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `make`, and nobody has it any more.
        let unmapped = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), size_of::<RequestPage>()) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::MappedPage;

    #[test]
    fn nobody_can_make_it_shorter() {
        let (page, file) = MappedPage::make().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(rustix::fs::ftruncate(&file, 0), Err(rustix::io::Errno::PERM));
        assert!(!page.is_posted());
    }
}
