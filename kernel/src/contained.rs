//! Panics of a library that panics where it should return, kept inside.
//!
//! The `raft` crate's `fatal!` is a panic. It must neither take the node with it nor write on a
//! person's terminal: the reason is returned, and who called decides.

use std::cell::Cell;
use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Silences the panic hook for contained calls only; other panics are printed as before.
fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                previous(panic);
            }
        }));
    });
}

/// What `call` returns, or what it panicked with. After a panic whatever `call` touched is in an
/// unknown state: never use it again.
pub fn contained<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    install_hook();
    let outer = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(outer);
    outcome.map_err(|panic| {
        panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic without words".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_words() {
        assert_eq!(contained(|| 7), Ok(7));
        let index = 3;
        assert_eq!(
            contained(|| panic!("gap at {index}")),
            Err::<(), _>("gap at 3".into())
        );
        assert!(!QUIET.get());
    }
}
