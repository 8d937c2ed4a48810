//! Letters of options, as answers write them: `B`, `(b)`, `A, C`, `A and C`, `\text{(B)}`, `option B`, `选 B`, and
//! options with their text: `(B) 12`, `B. Rome`.

use std::collections::BTreeSet;

/// Chosen letters.
pub type Letters = BTreeSet<char>;

/// Letters, and how sure it is that options are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The letters.
    pub letters: Letters,
    /// Whether a word such as `option`, brackets or separators say that they are options: `AC` may be a segment.
    pub marked: bool,
    /// Whether the letters are alternatives: `A or B`.
    pub alternatives: bool,
}

/// Words before or behind letters that only say that they are options.
const NAMES: &[&str] = &[
    "option", "options", "choice", "choices", "answer", "answers", "letter", "选项", "答案", "选", "选择", "故选",
    "应选",
];

/// A text without commands of type and without what they wrap around.
pub fn bare(text: &str) -> String {
    let mut text = text.to_owned();
    for wrapper in [
        "\\textbf", "\\textrm", "\\textit", "\\text", "\\mathrm", "\\mathbf", "\\mathsf", "\\mbox", "\\boxed", "\\bf",
        "\\rm",
    ] {
        if text.contains(wrapper) {
            text = text.replace(wrapper, " ");
        }
    }
    // Full-width letters and brackets.
    let plain = |c: char| match u32::from(c) {
        code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    text.chars().map(plain).collect()
}

/// The letters of a text of nothing but letters, separators and words that call them options. Letters go up to `last`; a
/// letter alone may be small.
pub fn letters(text: &str, last: char) -> Option<Named> {
    let text = bare(text);
    let bracketed = text.contains(['(', '[']);
    let text = text.replace(
        [
            '{', '}', '~', '(', ')', '[', ']', '$', '*', '_', '\\', '.', ':', '、', '，', '。', ',', ';', '&', '/',
            '"', '“', '”',
        ],
        " ",
    );
    let text = text.replace(['和', '与'], " ").replace('或', " or ").replace(" AND ", " ");
    let (mut found, mut marked, mut alternatives, mut separate) = (Vec::new(), bracketed, false, 0);
    for word in text.split_whitespace() {
        let lower = word.to_lowercase();
        if NAMES.contains(&lower.as_str()) {
            marked = true;
            continue;
        }
        match lower.as_str() {
            "and" => continue,
            "or" => {
                alternatives = true;
                continue;
            }
            _ => {}
        }
        let named = ["故选", "应选", "选择", "选"]
            .iter()
            .find_map(|name| word.strip_prefix(name))
            .filter(|rest| !rest.is_empty());
        marked |= named.is_some();
        let word = named.unwrap_or(word);
        let word = word.strip_suffix("选项").unwrap_or(word);
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        separate += usize::from(word.len() == 1);
        found.extend(word.chars());
    }
    if let [letter] = found.as_mut_slice() {
        letter.make_ascii_uppercase();
    }
    let count = found.len();
    let letters: Letters = found.into_iter().collect();
    let known = letters.iter().all(|letter| ('A'..=last).contains(letter));
    // `DAD` is a word, not three options: an option is named once.
    (count > 0 && known && letters.len() == count).then_some(Named {
        letters,
        marked: marked || count > 1 && separate == count,
        alternatives,
    })
}

/// An option's letter and its text: `(B) 12`, `\textbf{(B)}\ 12`, `B. Rome`, `B: 5`. The text may be empty.
pub fn labelled(text: &str, last: char) -> Option<(char, String)> {
    let text = bare(text);
    let text = text.trim().trim_matches(['$', '*', '_', '`']).trim();
    let inner = text.trim_start_matches(['{', ' ']);
    let wrapped = text.len() != inner.len();
    let (open, rest) = match inner.strip_prefix(['(', '[']) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, inner),
    };
    let letter = rest.chars().next().filter(char::is_ascii_alphabetic)?;
    let upper = letter.to_ascii_uppercase();
    if !('A'..=last).contains(&upper) {
        return None;
    }
    let rest = rest[1..].trim_start();
    let rest = match (open, rest.strip_prefix([')', ']'])) {
        (_, Some(rest)) => rest,
        (true, None) => return None,
        (false, None) => {
            // The letter's own braces may close before its mark.
            let shown = rest.trim_start_matches(['{', '}', ' ']);
            match shown.strip_prefix(['.', ':', '、', '．', '：']) {
                Some(after) => after.trim_start_matches([' ', '}']),
                None if shown.is_empty() && letter.is_ascii_uppercase() => shown,
                None => return None,
            }
        }
    };
    let mut rest = rest.trim();
    if wrapped {
        // `\text{(A) gravity}` closes behind the text, `\textbf{(A)}\ 12` before it.
        rest = rest.strip_prefix('}').unwrap_or(rest);
        if rest.matches('}').count() > rest.matches('{').count() {
            rest = rest.strip_suffix('}').unwrap_or(rest);
        }
    }
    let rest = rest.trim_start_matches(['~', ' ']).trim_start_matches("\\ ").trim_start_matches(['~', ' ']);
    Some((upper, rest.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_options() {
        for (text, expected) in [
            ("B", "B"),
            ("(b)", "B"),
            ("A, C", "AC"),
            ("A and C", "AC"),
            ("AC", "AC"),
            (r"\text{(B)}", "B"),
            (r"\textbf{A}", "A"),
            ("option B", "B"),
            ("选C", "C"),
            ("Ａ", "A"),
            ("A or B", "AB"),
        ] {
            let found: String = letters(text, 'J').unwrap_or_else(|| panic!("{text}")).letters.into_iter().collect();
            assert_eq!(found, expected, "{text}");
        }
        for text in ["DAD", "K", "A dog", "", "not A", "ab"] {
            assert_eq!(letters(text, 'J'), None, "{text}");
        }
        assert!(letters("A or B", 'J').is_some_and(|named| named.alternatives));
        assert!(letters("AC", 'J').is_some_and(|named| !named.marked));
    }

    #[test]
    fn options_with_their_text() {
        for (text, letter, rest) in [
            (r"\textbf{(B)}\ 12", 'B', "12"),
            ("(B) 5", 'B', "5"),
            ("B. Rome", 'B', "Rome"),
            ("b. 4", 'B', "4"),
            ("B: 5", 'B', "5"),
            (r"\text{(A) gravity}", 'A', "gravity"),
            (r"\text{A. gravity}", 'A', "gravity"),
            ("(B) \\frac{1}{2}", 'B', "\\frac{1}{2}"),
            ("B", 'B', ""),
        ] {
            assert_eq!(labelled(text, 'J'), Some((letter, rest.to_owned())), "{text}");
        }
        for text in ["A dog", "(A", "K. x", "a dog"] {
            assert_eq!(labelled(text, 'J'), None, "{text}");
        }
    }
}
