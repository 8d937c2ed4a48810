//! From an answer in Markdown to the program in it.

/// The tags by which a language is named behind a code fence; the first is its name here.
const TAGS: &[&[&str]] = &[
    &["python", "python3", "py", "py3"],
    &["cpp", "c++", "cc", "cxx"],
    &["c"],
    &["rust", "rs"],
    &["go", "golang"],
    &["java"],
    &["javascript", "js", "node"],
    &["typescript", "ts"],
    &["ruby", "rb"],
    &["bash", "sh", "shell"],
];

/// The name under which the program of a language is stored: compilers go by it.
pub(super) fn file_name(language: &str) -> &'static str {
    match language {
        "python" => "main.py",
        "cpp" => "main.cpp",
        "c" => "main.c",
        "rust" => "main.rs",
        "go" => "main.go",
        "java" => "Main.java",
        "javascript" => "main.js",
        "typescript" => "main.ts",
        "ruby" => "main.rb",
        "bash" => "main.sh",
        _ => "main",
    }
}

/// The program in `answer`: the last fenced block of the language, or the last that `defines` what is asked for where
/// one does; blocks without a language come second; an answer without blocks is a program as a whole.
pub(super) fn program(answer: &str, language: &str, defines: impl Fn(&str) -> bool) -> String {
    let blocks = blocks(answer);
    let tags = TAGS.iter().find(|tags| tags[0] == language).copied().unwrap_or_default();
    let of_language = |block: &&Block| tags.contains(&block.tag.as_str()) || block.tag == language;
    let named: Vec<&Block> = blocks.iter().filter(of_language).collect();
    let chosen = if named.is_empty() { blocks.iter().filter(|block| block.tag.is_empty()).collect() } else { named };
    let defining = chosen.iter().rev().find(|block| defines(&block.code));
    match defining.or(chosen.last()) {
        Some(block) => block.code.clone(),
        None => answer.trim_matches(['\n', '\r']).to_owned(),
    }
}

struct Block {
    tag: String,
    code: String,
}

/// The fenced blocks of a text. One that never closes reaches to the end.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(char, usize, usize, Block)> = None;
    for line in text.lines() {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let fence = body.chars().next().filter(|&mark| mark == '`' || mark == '~');
        let length = fence.map_or(0, |mark| body.chars().take_while(|&c| c == mark).count());
        let info = body[length..].trim();
        match (&mut open, fence) {
            (None, Some(mark)) if length >= 3 && !info.contains('`') => {
                let tag = info.split(|c: char| c.is_whitespace() || c == '{' || c == ',').next().unwrap_or_default();
                let block = Block { tag: tag.to_lowercase(), code: String::new() };
                open = Some((mark, length, indent, block));
            }
            (Some((mark, opened, _, _)), Some(closing)) if closing == *mark && length >= *opened && info.is_empty() => {
                blocks.extend(open.take().map(|(_, _, _, block)| block));
            }
            (Some((_, _, fence_indent, block)), _) => {
                // A block in a list is indented with the list.
                block.code.push_str(&line[indent.min(*fence_indent)..]);
                block.code.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks.extend(open.map(|(_, _, _, block)| block));
    blocks
}

/// Whether Python `code` defines a function or class called `name` at the outermost level.
pub(super) fn defines_python(code: &str, name: &str) -> bool {
    code.lines().any(|line| {
        ["def ", "async def ", "class "].iter().any(|keyword| {
            line.strip_prefix(keyword).is_some_and(|rest| {
                let rest = rest.trim_start();
                rest.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['(', ':', '[']))
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(answer: &str) -> String {
        program(answer, "python", |_| false)
    }

    #[test]
    fn the_last_block_of_the_language_counts() {
        assert_eq!(last("```python\na\n```\ntext\n```py\nb\n```\n```text\nc\n```\n```\nd\n```"), "b\n");
        assert_eq!(last("```\na\n```\n```cpp\nb\n```"), "a\n");
        assert_eq!(last("print(1)\n"), "print(1)");
        assert_eq!(last("1. so:\n   ```python\n   if x:\n       y\n   ```"), "if x:\n    y\n");
        assert_eq!(last("```python\nnever closed"), "never closed\n");
        assert_eq!(last("````python\n```\n````"), "```\n");
        assert_eq!(last("~~~Python3 title=\"x\"\na\n~~~"), "a\n");
    }

    #[test]
    fn an_example_after_the_solution_is_not_the_solution() {
        let answer = "```python\ndef f(x):\n    return x\n```\nUse it so:\n```python\nprint(f(1))\n```";
        assert_eq!(program(answer, "python", |code| defines_python(code, "f")), "def f(x):\n    return x\n");
        assert!(!defines_python("    def f(x):", "f"));
        assert!(!defines_python("def ff(x):", "f"));
        assert!(defines_python("class Solution:\n    def f(self):", "Solution"));
    }
}
