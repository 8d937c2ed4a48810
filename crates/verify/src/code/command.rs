//! From the command of the settings to an absolute path, and the folders that it needs to run.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::CodeError;

/// A command that can be executed inside a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The command with an absolute path in front.
    pub command: Vec<String>,
    /// Folders that must be visible beside the system's.
    pub paths: Vec<PathBuf>,
    /// Where Python looks for installed packages; empty for other languages.
    pub packages: Vec<String>,
    /// Whether it is CPython, version 3.
    is_python: bool,
}

impl Resolved {
    /// Whether this is a plain Python, whose start may leave `site` out: it reads every `.pth` file of the machine, which
    /// takes longer than all the rest.
    pub(super) fn starts_without_site(&self) -> bool {
        self.is_python && self.command.len() == 2 && self.command[1] == "{file}"
    }
}

/// Finds the command's executable.
///
/// Python is asked where it lives: `python3` on `PATH` may be a shim or belong to a virtual environment, whose real
/// interpreter and libraries are elsewhere. That runs the user's own interpreter on one fixed line, nothing untrusted.
pub fn resolve(command: &[String]) -> Result<Resolved, CodeError> {
    let no_command = || CodeError::Setting { setting: "command", given: "[]".into(), allowed: "a command" };
    let (name, rest) = command.split_first().ok_or_else(no_command)?;
    let path = find(name).ok_or_else(|| CodeError::NoCommand(name.clone()))?;
    let named_python = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python"));
    let python = if named_python { ask_python(&path) } else { None };
    let is_python = python.is_some();
    let (path, paths, packages) = python.unwrap_or_else(|| (path, Vec::new(), Vec::new()));
    let first = path.to_str().ok_or_else(|| CodeError::NoCommand(name.clone()))?.to_owned();
    Ok(Resolved { command: std::iter::once(first).chain(rest.iter().cloned()).collect(), paths, packages, is_python })
}

/// The executable file that `name` means: a path as it is, a bare name through `PATH`.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let executable =
        |path: &Path| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|path| executable(path));
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|p| executable(p))
}

/// Executable, folders, and package folders of a Python interpreter.
fn ask_python(path: &Path) -> Option<(PathBuf, Vec<PathBuf>, Vec<String>)> {
    const ASK: &str = "import json, site, sys\n\
                       packages = [p for p in sys.path if p.rstrip('/').endswith('-packages')]\n\
                       assert sys.implementation.name == 'cpython'\n\
                       print(json.dumps([sys.executable, [sys.prefix, sys.base_prefix, sys.exec_prefix], packages]))";
    let output = Command::new(path).args(["-I", "-c", ASK]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (executable, prefixes, packages): (PathBuf, Vec<PathBuf>, Vec<String>) =
        serde_json::from_str(text.lines().last()?).ok()?;
    let mut paths = prefixes;
    paths.extend(packages.iter().map(PathBuf::from));
    paths.sort();
    paths.dedup();
    // `/` and `/usr` are no folders of Python's own; the system's folders are visible anyway.
    paths.retain(|path| path.components().count() > 2);
    executable.is_absolute().then_some((executable, paths, packages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_on_the_path_and_by_their_path() {
        let shell = find("sh").unwrap();
        assert!(shell.is_absolute());
        assert_eq!(find(shell.to_str().unwrap()), Some(shell));
        assert_eq!(find("no-such-command-here"), None);
        assert!(matches!(resolve(&["no-such-command-here".into()]), Err(CodeError::NoCommand(_))));
        assert!(matches!(resolve(&[]), Err(CodeError::Setting { setting: "command", .. })));
    }
}
