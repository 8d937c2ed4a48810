//! Which files a pipeline file may name.

use std::path::{Component, Path, PathBuf};

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

    /// The path that `text` names, or why it may not. `${RETORT_…}` stands for an environment variable of that name.
    pub fn resolve(&self, text: &str) -> Result<PathBuf, String> {
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
}

fn expand(text: &str) -> Result<String, String> {
    let Some(start) = text.find("${") else { return Ok(text.to_owned()) };
    let Some(length) = text[start..].find('}') else {
        return Err(format!("`{text}` opens `${{` but never closes it"));
    };
    let name = &text[start + 2..start + length];
    if !name.starts_with("RETORT_") {
        return Err(format!("`${{{name}}}`: only variables whose names begin with `RETORT_` may stand in a path"));
    }
    let value = std::env::var(name).map_err(|_| format!("the environment variable `{name}` is not set"))?;
    expand(&format!("{}{value}{}", &text[..start], &text[start + length + 1..]))
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
    fn paths_stay_inside_unless_allowed() {
        let mut access = Access::of(Path::new("/x/a.yaml"), false).unwrap();
        assert_eq!(access.resolve("d/e.jsonl").unwrap(), Path::new("/x/d/e.jsonl"));
        assert!(access.resolve("/etc/passwd").unwrap_err().contains("--allow-path"));
        assert!(access.resolve("../secret").unwrap_err().contains("outside the workspace"));
        assert!(access.resolve("${HOME}/x").unwrap_err().contains("RETORT_"));
        access.allow_path = true;
        assert_eq!(access.resolve("/etc/passwd").unwrap(), Path::new("/etc/passwd"));
    }
}
