//! A reference that is set once, and read without a lock and without counting.

use alloc::sync::Arc;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Nothing at first, then one value for ever.
pub struct SetOnce<T> {
    /// Of an `Arc` that is kept here; null until it is set.
    pointer: AtomicPtr<T>,
    owns: PhantomData<Arc<T>>,
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self { pointer: AtomicPtr::default(), owns: PhantomData }
    }
}

impl<T> SetOnce<T> {
    /// The value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: null, or of the `Arc` that stays until this is dropped.
        unsafe { self.pointer.load(Ordering::Acquire).as_ref() }
    }
    /// One more reference to the value.
    pub fn get_shared(&self) -> Option<Arc<T>> {
        let value = self.get()?;
        // SAFETY: it points into the `Arc` that is kept here, whose own count is left as it is.
        let kept = ManuallyDrop::new(unsafe { Arc::from_raw(value) });
        Some(Arc::clone(&kept))
    }
    /// The value from now on, or what somebody has set before.
    pub fn get_or_set(&self, value: Arc<T>) -> &T {
        let new = Arc::into_raw(value).cast_mut();
        match self.pointer.compare_exchange(core::ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it is kept from here on.
            Ok(_) => unsafe { &*new },
            Err(before) => {
                // SAFETY: the reference that was to be kept.
                drop(unsafe { Arc::from_raw(new) });
                // SAFETY: as in `get`; it is not null.
                unsafe { &*before }
            }
        }
    }
}

impl<T> Drop for SetOnce<T> {
    fn drop(&mut self) {
        let kept = *self.pointer.get_mut();
        if !kept.is_null() {
            // SAFETY: the reference that was kept; nobody reads it any more.
            drop(unsafe { Arc::from_raw(kept) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SetOnce;
    use alloc::sync::Arc;

    #[test]
    fn the_first_stays_and_ends_with_it() {
        let (first, second) = (Arc::new(1), Arc::new(2));
        let slot = SetOnce::default();
        assert_eq!((slot.get(), slot.get_shared()), (None, None));
        assert_eq!(*slot.get_or_set(first.clone()), 1);
        assert_eq!(*slot.get_or_set(second.clone()), 1);
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (2, 1));
        let shared = slot.get_shared();
        assert_eq!(shared.as_deref(), slot.get());
        drop((slot, shared));
        assert_eq!(Arc::strong_count(&first), 1);
    }
}
