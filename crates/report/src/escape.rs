//! Text from models and files, made safe for a page.

use std::borrow::Cow;

/// Escapes the five characters that mean something in HTML, after removing what nobody should see: ANSI sequences,
/// control characters, and marks that hide or reorder text.
pub(crate) fn escape(text: &str) -> String {
    let text = visible(text);
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// [`escape`], with text between backticks as code.
pub(crate) fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // A lone backtick is a backtick: only pairs enclose.
    let pairs = (parts.len() - 1) / 2;
    let mut out = String::new();
    for (index, part) in parts.iter().enumerate() {
        let code = index % 2 == 1 && index < 2 * pairs;
        match (code, index > 2 * pairs) {
            (true, _) => {
                out.push_str("<code>");
                out.push_str(&escape(part));
                out.push_str("</code>");
            }
            (false, true) => {
                out.push('`');
                out.push_str(&escape(part));
            }
            (false, false) => out.push_str(&escape(part)),
        }
    }
    out
}

/// A name for links: lower-case letters, digits and hyphens, beginning with a letter.
pub(crate) fn anchor(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            out.push(character);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    let out = out.trim_end_matches('-');
    if out.starts_with(|first: char| first.is_ascii_alphabetic()) { out.to_owned() } else { format!("section-{out}") }
}

/// The text without escape sequences, control characters (line breaks and tabs stay) and marks that hide or reorder.
fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_visible) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // A control sequence ends with a letter or a sign of that range.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // A system command ends with BEL or with ESC and a backslash.
                Some(']') => {
                    while let Some(c) = characters.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && characters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            // A carriage return alone ends a line; before a line feed it is part of one end.
            '\r' if characters.peek() != Some(&'\n') => out.push('\n'),
            other if is_visible(other) => out.push(other),
            _ => {}
        }
    }
    Cow::Owned(out)
}

fn is_visible(character: char) -> bool {
    let hides =
        matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    matches!(character, '\n' | '\t') || !(character.is_control() || hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_element() {
        assert_eq!(
            escape("<script>\"a\" & 'b'</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
        assert_eq!(
            escape("\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7} a\r\nb\rc\u{0}\u{202e}\u{9b}d\te"),
            "red a\nb\ncd\te"
        );
        assert_eq!(escape("答案 x̂ ≠ y"), "答案 x̂ ≠ y");
    }

    #[test]
    fn backticks_come_in_pairs() {
        assert_eq!(prose("`a<b` and `c`"), "<code>a&lt;b</code> and <code>c</code>");
        assert_eq!(prose("5` long"), "5` long");
        assert_eq!(prose("`a` b` c"), "<code>a</code> b` c");
        assert_eq!(prose(""), "");
    }

    #[test]
    fn anchors_are_safe() {
        assert_eq!(anchor("Drop funnel: what went"), "drop-funnel-what-went");
        assert_eq!(anchor("\"><b>"), "b");
        assert_eq!(anchor("2 runs"), "section-2-runs");
        assert_eq!(anchor("答案"), "section-");
    }
}
