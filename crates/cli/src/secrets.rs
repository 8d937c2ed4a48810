//! Secrets that somebody wrote where they do not belong: whatever is shown is shown without them.

/// `text` with stars instead of the letters of every password in a URL and every `api_key` that is written out. The length
/// stays the same, so places in the text stay right.
pub fn masked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, _) in text.match_indices("://") {
        let from = at + 3;
        let authority = &text[from..];
        let end = authority.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)).unwrap_or(authority.len());
        if let Some(length) = authority[..end].rfind('@') {
            bytes[from..from + length].fill(b'*');
        }
    }
    for (at, key) in text.match_indices("api_key") {
        let after = text[at + key.len()..].trim_start_matches(['"', '\'']).trim_start_matches(' ');
        let Some(value) = after.strip_prefix([':', '=']) else { continue };
        let value = value.trim_start_matches([' ', '"', '\'']);
        let from = text.len() - value.len();
        let length = value.find(['"', '\'', '`', ',', '}', '\n']).unwrap_or(value.len());
        if !["env:", "file:"].iter().any(|kind| value.starts_with(kind)) {
            bytes[from..from + length].fill(b'*');
        }
    }
    // Whole characters were replaced by as many stars as they have bytes.
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_starred_and_the_rest_stays() {
        for (text, shown) in [
            ("endpoint: http://me:p@ss@host/v1", "endpoint: http://*******@host/v1"),
            ("{ endpoint: \"https://kö:y@h\", n: 1 }", "{ endpoint: \"https://*****@h\", n: 1 }"),
            ("see https://a.b/c and x@y", "see https://a.b/c and x@y"),
            ("api_key: sk-1, model: m", "api_key: ****, model: m"),
            ("\"api_key\": \"sk-1\"", "\"api_key\": \"****\""),
            ("x.teacher.api_key=sk-1", "x.teacher.api_key=****"),
            ("api_key: env:KEY\n", "api_key: env:KEY\n"),
            ("`api_key` must not be written out", "`api_key` must not be written out"),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(masked(text).len(), text.len());
        }
    }
}
