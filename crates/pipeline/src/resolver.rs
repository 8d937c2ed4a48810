//! From what a pipeline file names outside of itself to local files, and which of them it may name.

use crate::digest_index::DigestIndex;
use crate::error::PipelineError;
use std::fmt::Debug;
use std::path::{Component, Path, PathBuf};

/// Finds what a pipeline file names by a path. The file system is the one form today; a store of objects or a hub is
/// another.
pub trait Resolver: Debug + Send + Sync {
    /// The local path (or glob) of what `written` names, or why it may not be named.
    fn locate(&self, written: &str) -> Result<PathBuf, String>;

    /// SHA-256 of a local file that was found.
    fn sha256(&self, file: &Path, known: &DigestIndex) -> Result<String, PipelineError>;

    /// The folder that relative paths start from.
    fn workspace(&self) -> &Path;
}

/// The folder that relative paths start from, and whether paths may leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The workspace: the folder that holds `pipelines/`, else the pipeline file's own folder.
    pub workspace: PathBuf,
    /// Whether absolute paths and `..` are allowed (`--allow-path`).
    pub allow_path: bool,
}

impl Access {
    /// The workspace of the pipeline file at `file`.
    pub fn of(file: &Path, allow_path: bool) -> std::io::Result<Self> {
        let file = std::path::absolute(file)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        let holder = folder.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "pipelines"));
        let workspace = holder.and_then(Path::parent).unwrap_or(folder);
        Ok(Self { workspace: workspace.to_owned(), allow_path })
    }
}

impl Resolver for Access {
    /// `${RETORT_…}` stands for an environment variable of that name.
    fn locate(&self, text: &str) -> Result<PathBuf, String> {
        let expanded = expand(text)?;
        let path = Path::new(&expanded);
        let leaves = path.is_absolute() || path.components().any(|part| part == Component::ParentDir);
        if leaves && !self.allow_path {
            return Err(format!(
                "`{text}` is outside the workspace `{}`; allow it with `--allow-path`",
                self.workspace.file_name().unwrap_or_default().to_string_lossy()
            ));
        }
        Ok(self.workspace.join(path))
    }

    fn sha256(&self, file: &Path, known: &DigestIndex) -> Result<String, PipelineError> {
        known.sha256(file)
    }

    fn workspace(&self) -> &Path {
        &self.workspace
    }
}

/// The files that a path with `*` and `?` in any of its parts matches, `**` standing for folders of any depth, in the order of
/// their paths; the file itself for a path without.
pub fn expand_glob(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let name = part.as_os_str().to_string_lossy().into_owned();
        found = match (name.as_str(), part) {
            ("**", _) => found.iter().flat_map(|folder| folders_within(folder)).collect(),
            (name, Component::Normal(_)) if name.contains(['*', '?']) => {
                let named = |path: &PathBuf| {
                    let last = path.file_name().unwrap_or_default().to_string_lossy();
                    matches(name.as_bytes(), last.as_bytes()) && (parts.peek().is_none() || path.is_dir())
                };
                found.iter().flat_map(|folder| entries_of(folder)).filter(named).collect()
            }
            _ => found.iter().map(|folder| folder.join(part)).collect(),
        };
        // Several `**` reach the same folder on many ways.
        found.sort();
        found.dedup();
    }
    found.retain(|path| path.is_file());
    found
}

fn entries_of(folder: &Path) -> Vec<PathBuf> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// A folder and all that lie in it, without following links.
fn folders_within(folder: &Path) -> Vec<PathBuf> {
    let inner = entries_of(folder).into_iter().filter(|path| path.is_dir() && !path.is_symlink());
    std::iter::once(folder.to_owned()).chain(inner.flat_map(|path| folders_within(&path))).collect()
}

/// Whether `name` is as `pattern` says. A `*` takes as little as it can, and more only when what follows does not fit: of
/// several, only the last can be at fault, so the work is at most the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}

/// A path as people see it: relative to where they stand when that is shorter.
pub fn shown(path: &Path) -> String {
    let relative = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    match relative {
        Some(relative) if relative.as_os_str().is_empty() => ".".to_owned(),
        Some(relative) => relative.display().to_string(),
        None => path.display().to_string(),
    }
}

/// Variables are put in once: what they hold is not looked at again.
fn expand(text: &str) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, variable)) = rest.split_once("${") {
        let Some((name, after)) = variable.split_once('}') else {
            return Err(format!("`{text}` opens `${{` but never closes it"));
        };
        if !name.starts_with("RETORT_") {
            return Err(format!("`${{{name}}}`: only variables whose names begin with `RETORT_` may stand in a path"));
        }
        let value = std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set"))?;
        if value.contains("${") {
            return Err(format!("the environment variable `{name}` holds a `${{…}}` itself; allowed: a plain path"));
        }
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_holds_the_pipelines_folder() {
        let access = Access::of(Path::new("/x/pipelines/long2short/a.yaml"), false).unwrap();
        assert_eq!(access.workspace, Path::new("/x"));
        assert_eq!(Access::of(Path::new("/x/y/a.yaml"), false).unwrap().workspace, Path::new("/x/y"));
    }

    #[test]
    fn a_glob_finds_files_at_any_depth() {
        let root = std::env::temp_dir().join(format!("retort-glob-{}", std::process::id()));
        for file in ["a/1.jsonl", "a/b/2.jsonl", "a/b/3.txt", "c/4.jsonl"] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), "").unwrap();
        }
        let found = |glob: &str| -> Vec<String> {
            let files = expand_glob(&root.join(glob));
            files.iter().map(|file| file.strip_prefix(&root).unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(found("**/*.jsonl"), ["a/1.jsonl", "a/b/2.jsonl", "c/4.jsonl"]);
        assert_eq!(found("*/*.jsonl"), ["a/1.jsonl", "c/4.jsonl"]);
        assert_eq!(found("a/?.jsonl"), ["a/1.jsonl"]);
        assert_eq!(found("a/b/3.txt"), ["a/b/3.txt"]);
        assert!(found("a/9.jsonl").is_empty() && found("*").is_empty());
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn paths_stay_inside_unless_allowed() {
        let mut access = Access::of(Path::new("/x/a.yaml"), false).unwrap();
        assert_eq!(access.locate("d/e.jsonl").unwrap(), Path::new("/x/d/e.jsonl"));
        assert!(access.locate("/etc/passwd").unwrap_err().contains("--allow-path"));
        assert!(access.locate("../secret").unwrap_err().contains("outside the workspace"));
        assert!(access.locate("${HOME}/x").unwrap_err().contains("RETORT_"));
        access.allow_path = true;
        assert_eq!(access.locate("/etc/passwd").unwrap(), Path::new("/etc/passwd"));
    }

    #[test]
    fn stars_stand_for_any_text() {
        let cases = [
            ("*", "", true),
            ("a*", "a", true),
            ("*.jsonl", "x.jsonl", true),
            ("*.jsonl", "x.json", false),
            ("a?c*e", "abcde", true),
            ("a?c*e", "abcd", false),
            ("*a*b", "xaxbxb", true),
            ("", "a", false),
        ];
        for (pattern, name, fits) in cases {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
        // A search that tries every way would never end here.
        assert!(!matches("*a".repeat(40).as_bytes(), format!("{}b", "a".repeat(200)).as_bytes()));
    }
}
