//! What the processes of a sandbox share: objects in the shared heap, which lies at the same address in all of them.
//! Each belongs to the file that declares it; what sets the sandbox up makes them all, before there is a second
//! process.

use core::ops::Deref;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Where such an object is.
pub(crate) struct Published<T>(AtomicPtr<T>);

impl<T> Published<T> {
    /// There is none yet.
    pub(crate) const fn nothing() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// From here on it is used.
    pub(crate) fn publish(&self, object: &'static T)
    where
        T: Sync,
    {
        self.0.store(core::ptr::from_ref(object).cast_mut(), Ordering::Release);
    }

    /// The object, once there is a sandbox.
    #[inline]
    pub(crate) fn try_get(&self) -> Option<&'static T> {
        // SAFETY: null, or what was published, which is never freed.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }
}

impl<T> Deref for Published<T> {
    type Target = T;

    /// For code of the kernel, which runs only after the sandbox was set up.
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the kernel runs only after all objects were published.
        unsafe { &*self.0.load(Ordering::Relaxed) }
    }
}
