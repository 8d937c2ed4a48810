//! Whether colours are wanted.

use std::io::IsTerminal;

/// Whether text written to `stream` may be coloured: it is a terminal that can, and the reader has not said no
/// (`NO_COLOR` with any value but an empty one).
pub fn coloured(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|terminal| terminal != "dumb")
}
