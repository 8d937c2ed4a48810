//! Damaged files.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a library's reader on a file: where it panics, as some do on damaged files, its words become the reason.
pub(crate) fn guarded<R>(read: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it is damaged: {}", text.unwrap_or("its reader gave up"))
    })
}
