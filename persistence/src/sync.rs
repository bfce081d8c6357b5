//! The locks and atomics that tickets, claims, the sequencer and the durability gate are made of.
//!
//! In the server they are `parking_lot`'s and the standard library's. Built with `--cfg bursar_loom` they are loom's, which
//! runs a test under every order of threads and every value that the memory model lets a load return. Nothing that is
//! not checked that way needs them.

#[cfg(not(bursar_loom))]
pub use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(bursar_loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU64};

#[cfg(bursar_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU64};
#[cfg(bursar_loom)]
pub use under_loom::{Condvar, Mutex, MutexGuard};

/// loom's locks with parking_lot's signatures.
#[cfg(bursar_loom)]
mod under_loom {
    use std::ops::{Deref, DerefMut};

    const UNPOISONED: &str = "a test that panics ends there";

    #[derive(Debug, Default)]
    pub struct Mutex<T>(loom::sync::Mutex<T>);

    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    #[derive(Debug, Default)]
    pub struct Condvar(loom::sync::Condvar);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect(UNPOISONED)))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("only a wait takes the guard away, and gives it back")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("only a wait takes the guard away, and gives it back")
        }
    }

    impl Condvar {
        pub fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let taken = guard.0.take().expect("nobody else waits with this guard");
            guard.0 = Some(self.0.wait(taken).expect(UNPOISONED));
        }

        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
