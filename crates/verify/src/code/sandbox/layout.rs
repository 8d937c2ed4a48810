//! What the program sees of the machine: the read-only view that both sandboxes bind.

use std::fs;
use std::path::{Path, PathBuf};

/// System folders and files that interpreters and compilers need, where they exist. Not `/etc` as a whole, nor `/home`,
/// `/root`, `/var`, `/run` or `/sys`: what is not bound does not exist inside.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// A folder or file that is bound read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Where it is, without symbolic links.
    pub source: PathBuf,
    /// Where the program sees it.
    pub target: PathBuf,
    /// Whether it is a folder.
    pub folder: bool,
}

/// The read-only view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Binds, outer folders first.
    pub views: Vec<View>,
    /// Symbolic links of the root, such as `/bin -> usr/bin`: what they say, and where they stand.
    pub links: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// The system's folders and `extra`. Paths that do not exist are left out; so is what an outer path brings along.
    pub(super) fn new(extra: &[PathBuf]) -> Self {
        let mut layout = Self::default();
        for path in SYSTEM.iter().map(Path::new) {
            match fs::read_link(path) {
                Ok(target) if path.parent() == Some(Path::new("/")) => {
                    layout.links.push((target, path.to_path_buf()));
                }
                _ => layout.add(path),
            }
        }
        let mut extra: Vec<&PathBuf> = extra.iter().collect();
        extra.sort();
        for path in extra {
            layout.add(path);
            if let Ok(real) = path.canonicalize() {
                layout.add(&real);
            }
        }
        layout
    }

    /// Whether a file at `path` is visible inside.
    pub(super) fn shows(&self, path: &Path) -> bool {
        let bound = |path: &Path| self.views.iter().any(|view| path.starts_with(&view.target));
        bound(path)
            || self.links.iter().any(|(_, at)| path.starts_with(at)) && path.canonicalize().is_ok_and(|p| bound(&p))
    }

    /// Folders to make before the binds, parents first; folders of the binds themselves included.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for view in &self.views {
            let deepest = if view.folder { Some(view.target.as_path()) } else { view.target.parent() };
            let mut chain: Vec<&Path> = deepest.into_iter().flat_map(Path::ancestors).collect();
            chain.pop(); // the root itself
            for folder in chain.into_iter().rev() {
                if !folders.iter().any(|known| known == folder) {
                    folders.push(folder.to_path_buf());
                }
            }
        }
        folders
    }

    fn add(&mut self, path: &Path) {
        let Ok(source) = path.canonicalize() else { return };
        if path == Path::new("/") || self.shows(path) {
            return;
        }
        let folder = source.is_dir();
        self.views.push(View { source, target: path.to_path_buf(), folder });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_has_the_system_and_not_the_home_folders() {
        let layout = Layout::new(&[PathBuf::from("/"), PathBuf::from("/usr/local/lib")]);
        assert!(layout.shows(Path::new("/usr/bin/env")));
        assert!(layout.shows(Path::new("/bin/sh")));
        for hidden in ["/etc/shadow", "/root", "/home", "/var/lib", "/run"] {
            assert!(!layout.shows(Path::new(hidden)), "{hidden}");
        }
        assert!(layout.views.iter().all(|view| view.target != Path::new("/usr/local/lib")), "brought along by /usr");
    }

    #[test]
    fn folders_come_before_what_they_hold() {
        let view = |target: &str| View { source: target.into(), target: target.into(), folder: true };
        let layout = Layout { views: vec![view("/a/b/c"), view("/a/d")], links: Vec::new() };
        assert_eq!(layout.folders(), ["/a", "/a/b", "/a/b/c", "/a/d"].map(PathBuf::from));
    }
}
