//! What the program sees of the machine: the read-only view that both sandboxes bind, and what is hidden in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::code::CodeError;

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

/// Folders of the system's that no program needs to run, and where containers like to keep their work.
const SOURCES: &[&str] = &["/usr/src", "/usr/local/src"];

/// What is shown of a folder that is to be shown and hidden: somebody's workspace or home folder may also be where an
/// interpreter is installed (a virtual environment, conda), which needs these.
const PARTS: &[&str] = &["bin", "lib", "lib32", "lib64", "share", "pyvenv.cfg"];

/// A folder or file that is bound read-only, or an empty folder over a part of one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Where it is, without symbolic links; `None` for an empty folder.
    pub source: Option<PathBuf>,
    /// Where the program sees it.
    pub target: PathBuf,
    /// Whether it is a folder.
    pub folder: bool,
}

impl View {
    /// The folders above it, parents first, and itself where it is one.
    pub(super) fn folders(&self) -> Vec<&Path> {
        let deepest = if self.folder { Some(self.target.as_path()) } else { self.target.parent() };
        let mut chain: Vec<&Path> = deepest.into_iter().flat_map(Path::ancestors).collect();
        chain.pop(); // the root itself
        chain.reverse();
        chain
    }
}

/// The read-only view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Binds and hidden folders in their order: a later one lies over an earlier one.
    pub views: Vec<View>,
    /// Symbolic links of the root, such as `/bin -> usr/bin`: what they say, and where they stand.
    pub links: Vec<(PathBuf, PathBuf)>,
}

impl Layout {
    /// The system's folders and `extra`, without the folders `private`, the working folder and the home folder: there lie
    /// the data, and with them the expected outputs. Paths that do not exist are left out; so is what an outer path
    /// brings along. A path of `extra` inside a hidden folder is shown.
    pub(super) fn new(extra: &[PathBuf], private: &[PathBuf]) -> Result<Self, CodeError> {
        let holds_something = |path: &PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        let mut hidden: Vec<PathBuf> = SOURCES.iter().map(PathBuf::from).filter(holds_something).collect();
        let mut data: Vec<PathBuf> = private.to_vec();
        data.extend(std::env::current_dir());
        let home: Vec<PathBuf> = std::env::var_os("HOME").map(PathBuf::from).into_iter().collect();
        let real =
            |paths: &[PathBuf]| -> Vec<PathBuf> { paths.iter().filter_map(|path| path.canonicalize().ok()).collect() };
        let (data, home) = (real(&data), real(&home));
        hidden.extend(data.iter().chain(&home).cloned());
        Self::showing(extra, &hidden, &data)
    }

    fn showing(extra: &[PathBuf], hidden: &[PathBuf], data: &[PathBuf]) -> Result<Self, CodeError> {
        let mut layout = Self::default();
        for path in SYSTEM.iter().map(Path::new) {
            match fs::read_link(path) {
                Ok(target) if path.parent() == Some(Path::new("/")) => {
                    layout.links.push((target, path.to_path_buf()));
                }
                _ => layout.add(path),
            }
        }
        // A system's user may well have such a home; data cannot be hidden there.
        if let Some(folder) = data.iter().find(|folder| layout.shows(folder) && layout.holds_system(folder)) {
            return Err(CodeError::VisibleData(folder.clone()));
        }
        let hidden: Vec<&PathBuf> = hidden.iter().filter(|folder| !layout.holds_system(folder)).collect();
        let real: Vec<PathBuf> = extra.iter().filter_map(|path| path.canonicalize().ok()).collect();
        // Outer folders first, and what is hidden before what is shown: the inner word counts.
        let mut words: Vec<(&PathBuf, bool)> = hidden.iter().map(|folder| (*folder, false)).collect();
        words.extend(extra.iter().chain(&real).map(|path| (path, true)));
        words.sort();
        for (path, shown) in words {
            if shown && hidden.contains(&path) {
                for part in PARTS {
                    layout.add(&path.join(part));
                }
            } else if shown {
                layout.add(path);
            } else {
                layout.hide(path);
            }
        }
        // What is shown under another name, by a link, came when it came.
        for folder in hidden {
            layout.hide(folder);
        }
        Ok(layout)
    }

    /// Whether a file at `path` is visible inside.
    pub(super) fn shows(&self, path: &Path) -> bool {
        self.binds(path)
            || self.links.iter().any(|(_, at)| path.starts_with(at))
                && path.canonicalize().is_ok_and(|path| self.binds(&path))
    }

    fn binds(&self, path: &Path) -> bool {
        self.views.iter().rev().find(|view| path.starts_with(&view.target)).is_some_and(|view| view.source.is_some())
    }

    /// Whether programs cannot run without what lies in `folder`.
    fn holds_system(&self, folder: &Path) -> bool {
        const NEEDED: [&str; 11] = [
            "bin",
            "sbin",
            "lib",
            "lib32",
            "lib64",
            "libexec",
            "share",
            "include",
            "local/bin",
            "local/lib",
            "local/share",
        ];
        let needed = NEEDED.iter().map(|name| Path::new("/usr").join(name));
        needed.chain(self.views.iter().map(|view| view.target.clone())).any(|path| path.starts_with(folder))
    }

    fn add(&mut self, path: &Path) {
        let Ok(source) = path.canonicalize() else { return };
        if path == Path::new("/") || self.shows(path) {
            return;
        }
        let folder = source.is_dir();
        self.views.push(View { source: Some(source), target: path.to_path_buf(), folder });
    }

    /// Lays an empty folder over `folder`, wherever it is shown.
    fn hide(&mut self, folder: &Path) {
        let under = |view: &View| {
            let inside = folder.strip_prefix(view.source.as_ref()?).ok()?;
            Some(view.target.join(inside)).filter(|_| folder.is_dir())
        };
        let targets: Vec<PathBuf> = self.views.iter().filter_map(under).collect();
        for target in targets {
            if self.binds(&target) {
                self.views.push(View { source: None, target, folder: true });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_has_the_system_and_not_the_home_folders() {
        let layout = Layout::new(&[PathBuf::from("/"), PathBuf::from("/usr/local/lib")], &[]).unwrap();
        assert!(layout.shows(Path::new("/usr/bin/env")));
        assert!(layout.shows(Path::new("/bin/sh")));
        for hidden in ["/etc/shadow", "/root", "/home", "/var/lib", "/run"] {
            assert!(!layout.shows(Path::new(hidden)), "{hidden}");
        }
        assert!(layout.views.iter().all(|view| view.target != Path::new("/usr/local/lib")), "brought along by /usr");
    }

    #[test]
    fn hidden_folders_show_only_what_is_asked_for() {
        let root = std::env::temp_dir().join(format!("retort-layout-{}", std::process::id()));
        let work = root.join("work");
        for folder in ["work/data", "work/venv/lib", "tools"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let root = root.canonicalize().unwrap();
        let work = root.join(work.file_name().unwrap());
        let layout = Layout::showing(
            &[root.clone(), work.join("venv")],
            std::slice::from_ref(&work),
            std::slice::from_ref(&work),
        )
        .unwrap();
        for (path, shown) in
            [("tools", true), ("work", false), ("work/data/x", false), ("work/venv/lib/y", true), ("work/venvs", false)]
        {
            assert_eq!(layout.shows(&root.join(path)), shown, "{path}");
        }
        // Folders in one another, shown and hidden in turn; a workspace where an interpreter is installed; another name.
        fs::create_dir_all(work.join("venv/lib/ws")).unwrap();
        let alias = root.with_extension("zz");
        std::os::unix::fs::symlink(&root, &alias).unwrap();
        let layout = Layout::showing(
            &[alias.clone(), work.join("venv")],
            &[work.clone(), work.join("venv"), work.join("venv/lib/ws")],
            &[],
        )
        .unwrap();
        for (path, shown) in [
            ("work/data", false),
            ("work/venv/lib/y", true),
            ("work/venv/rows.jsonl", false),
            ("work/venv/lib/ws/x", false),
        ] {
            assert_eq!(layout.binds(&root.join(path)), shown, "{path}");
        }
        assert!(layout.binds(&alias.join("tools")) && !layout.binds(&alias.join("work/data")));
        fs::remove_file(&alias).unwrap();
        // Where the system itself lies nothing can be hidden.
        let error = Layout::showing(&[], &[PathBuf::from("/usr/bin")], &[PathBuf::from("/usr/bin")]).unwrap_err();
        assert!(error.to_string().contains("/usr/bin"), "{error}");
        assert!(Layout::showing(&[], &[PathBuf::from("/usr/bin")], &[]).unwrap().shows(Path::new("/usr/bin/env")));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn folders_come_before_what_they_hold() {
        let view = View { source: None, target: "/a/b/c".into(), folder: true };
        assert_eq!(view.folders(), ["/a", "/a/b", "/a/b/c"].map(Path::new));
        assert_eq!(View { folder: false, ..view }.folders(), ["/a", "/a/b"].map(Path::new));
    }
}
