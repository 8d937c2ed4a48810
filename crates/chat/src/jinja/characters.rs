//! What Python's string methods know of characters: lines, words and case.

use super::text::is_space;

/// Python's `splitlines`.
pub(crate) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let ends = matches!(
            character,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        );
        if !ends {
            continue;
        }
        let mut end = at + character.len_utf8();
        if character == '\r' && characters.peek().is_some_and(|(_, next)| *next == '\n') {
            characters.next();
            end += 1;
        }
        lines.push(&text[start..if keep_ends { end } else { at }]);
        start = end;
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// Python's `split()` and `rsplit()` at white space, at most `most` times; what is left keeps its inner white space.
pub(crate) fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_right { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) };
        if rest.is_empty() {
            break;
        }
        if words.len() == most {
            words.push(if from_right { rest.trim_start_matches(is_space) } else { rest.trim_end_matches(is_space) });
            break;
        }
        if from_right {
            let start = rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
            words.push(&rest[start..]);
            rest = &rest[..start];
        } else {
            let end = rest.find(is_space).unwrap_or(rest.len());
            words.push(&rest[..end]);
            rest = &rest[end..];
        }
    }
    if from_right {
        words.reverse();
    }
    words
}

/// Python's `capitalize`.
pub(crate) fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => title_of(first) + &lower_of(characters.as_str()),
        None => String::new(),
    }
}

/// Python's `title`: the first letter of every run of letters.
pub(crate) fn title_case(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        let cased = character.is_lowercase() || character.is_uppercase();
        if cased && !inside {
            output.push_str(&title_of(character));
        } else {
            output.extend(character.to_lowercase());
        }
        inside = cased;
    }
    output
}

/// Jinja's `title` filter: the first character of every word, words ending at white space, hyphens and brackets.
pub(crate) fn title_words(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut first = true;
    for character in text.chars() {
        let parts = is_space(character) || "-({[<".contains(character);
        if first && !parts {
            output.extend(character.to_uppercase());
        } else {
            output.extend(character.to_lowercase());
        }
        first = parts;
    }
    output
}

fn title_of(character: char) -> String {
    character.to_uppercase().collect::<String>()
}

fn lower_of(text: &str) -> String {
    text.to_lowercase()
}

pub(crate) fn swap_case(text: &str) -> String {
    let swap =
        |c: char| if c.is_uppercase() { c.to_lowercase().collect::<String>() } else { c.to_uppercase().collect() };
    text.chars().map(swap).collect()
}

/// Python's `casefold`, for which the sharp s is the one letter that matters in practice.
pub(crate) fn case_folded(text: &str) -> String {
    text.to_lowercase().replace('ß', "ss")
}

/// Python's `isupper` (or `islower`): there are cased characters, all of this case.
pub(crate) fn is_upper_cased(text: &str, upper: bool) -> bool {
    let is = |c: char| if upper { c.is_uppercase() } else { c.is_lowercase() };
    let is_other = |c: char| if upper { c.is_lowercase() } else { c.is_uppercase() };
    text.chars().any(is) && !text.chars().any(is_other)
}

/// Python's `istitle`.
pub(crate) fn is_titled(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for character in text.chars() {
        if character.is_uppercase() {
            if inside {
                return false;
            }
            (inside, any) = (true, true);
        } else if character.is_lowercase() {
            if !inside {
                return false;
            }
            any = true;
        } else {
            inside = false;
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_words_are_pythons() {
        assert_eq!(lines("a\r\nb\n\nc", false), ["a", "b", "", "c"]);
        assert_eq!(lines("a\n", true), ["a\n"]);
        assert_eq!(words("  a b  c ", usize::MAX, false), ["a", "b", "c"]);
        assert_eq!(words("  a b  c ", 1, false), ["a", "b  c"]);
        assert_eq!(words("  a b  c ", 1, true), ["a b", "c"]);
        assert_eq!(title_case("they're b-c"), "They'Re B-C");
        assert_eq!(title_words("they're b-c (d)"), "They're B-C (D)");
        assert!(is_titled("A Bc") && !is_titled("a Bc") && is_upper_cased("A1", true) && !is_upper_cased("1", true));
    }
}
