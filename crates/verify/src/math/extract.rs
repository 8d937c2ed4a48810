//! Where in a completion the final answer stands.

/// The content of the last `\boxed{…}` whose braces balance.
pub fn last_box(text: &str) -> Option<&str> {
    let mut end = text.len();
    while let Some(at) = text[..end].rfind("\\boxed") {
        let rest = text[at + "\\boxed".len()..].trim_start();
        if let Some(content) = rest.strip_prefix('{').and_then(balanced) {
            return Some(content);
        }
        end = at;
    }
    None
}

/// The text up to the brace that closes the one before it.
fn balanced(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(&text[..at]),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}
