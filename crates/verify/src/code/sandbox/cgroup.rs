//! A control group for each sandbox that runs for long, where one can be had: the kernel then counts all memory that a
//! program makes it hold, and stops it at once. Nothing depends on it: where there is none, the other limits hold.
//!
//! To move a process takes the kernel up to some tens of milliseconds, longer than most programs run. So only what still
//! runs after a moment, or has grown, is moved; what it held before counts elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Memory that a group may have beyond a program's limit, for the kernel's own book-keeping; the watcher, which knows
/// what the program itself uses, is to come first.
const SLACK: u64 = 32 << 20;

/// Where groups can be made.
#[derive(Debug)]
pub(super) struct Groups {
    parent: PathBuf,
    files: Files,
    /// Groups without a program: making one, and giving one up, costs more than using it again.
    free: Mutex<Vec<Group>>,
    made: AtomicU64,
}

/// The two versions of the kernel's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    /// One hierarchy of memory groups among others.
    Version1,
    /// The one hierarchy.
    Version2,
}

impl Files {
    fn limit(self) -> &'static str {
        if self == Self::Version1 { "memory.limit_in_bytes" } else { "memory.max" }
    }

    fn usage(self) -> &'static str {
        if self == Self::Version1 { "memory.usage_in_bytes" } else { "memory.current" }
    }

    fn events(self) -> &'static str {
        if self == Self::Version1 { "memory.oom_control" } else { "memory.events" }
    }
}

/// A group, for one program at a time.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
    files: Files,
    limit: u64,
    kills: u64,
}

impl Groups {
    /// Finds the place, and tries it.
    pub(super) fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        places(&own, &mounts).into_iter().find_map(|(parent, files)| {
            let groups = Self { parent, files, free: Mutex::default(), made: AtomicU64::new(0) };
            groups.remove_those_of_the_dead();
            let group = groups.take(64 << 20)?;
            groups.give_back(group);
            Some(groups)
        })
    }

    /// An empty group with this limit; `None` where none can be had.
    pub(super) fn take(&self, memory_bytes: u64) -> Option<Group> {
        let limit = memory_bytes.saturating_add(SLACK);
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // What the last program left behind may still be on its way out.
        let mut group =
            match used.filter(|group| group.number(self.files.usage()).is_some_and(|bytes| bytes < limit / 8)) {
                Some(group) => group,
                None => {
                    let number = self.made.fetch_add(1, Ordering::Relaxed);
                    let path = self.parent.join(format!("retort-{}-{number}", std::process::id()));
                    fs::create_dir(&path).ok()?;
                    Group { path, files: self.files, limit: 0, kills: 0 }
                }
            };
        if group.limit != limit {
            group.write(self.files.limit(), &limit.to_string()).ok()?;
            // What is swapped out counts as well, where the kernel keeps count of it.
            let _ = match self.files {
                Files::Version1 => group.write("memory.memsw.limit_in_bytes", &limit.to_string()),
                Files::Version2 => group.write("memory.swap.max", "0"),
            };
            group.limit = limit;
        }
        group.kills = group.all_kills();
        Some(group)
    }

    /// Takes a group back whose program has ended.
    pub(super) fn give_back(&self, group: Group) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(group);
    }

    /// Groups of processes that were killed before they could tidy up.
    fn remove_those_of_the_dead(&self) {
        let Ok(entries) = fs::read_dir(&self.parent) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix("retort-").and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

impl Group {
    /// Moves a process into the group; its later children follow. One that has ended meanwhile is not missed.
    pub(super) fn enter(&self, pid: libc::pid_t) {
        let _ = self.write("cgroup.procs", &pid.to_string());
    }

    /// Whether the kernel has killed a process of this program for want of memory.
    pub(super) fn has_killed(&self) -> bool {
        self.all_kills() > self.kills
    }

    fn all_kills(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(self.files.events())).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(file), text)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where this process may be able to make groups with a limit of memory.
///
/// In the first version that is below its own group. In the second, groups with processes have no such groups below them:
/// it is the nearest group above that hands memory on.
fn places(own: &str, mounts: &str) -> Vec<(PathBuf, Files)> {
    let mut places = Vec::new();
    for line in mounts.lines() {
        // ID, parent, device, root, mount point, options, …, `-`, type, source, options.
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let (before, after): (Vec<&str>, Vec<&str>) = (before.split(' ').collect(), after.split(' ').collect());
        let (Some(root), Some(point)) = (before.get(3), before.get(4)) else { continue };
        let files = match (after.first(), after.get(2)) {
            (Some(&"cgroup"), Some(options)) if options.split(',').any(|one| one == "memory") => Files::Version1,
            (Some(&"cgroup2"), _) => Files::Version2,
            _ => continue,
        };
        let group = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let ours = match files {
                Files::Version1 => controllers.split(',').any(|one| one == "memory"),
                Files::Version2 => number == "0",
            };
            ours.then_some(path)
        });
        // A container sees its own group as the root.
        let Some(inside) = group.and_then(|path| Path::new(path).strip_prefix(root).ok()) else { continue };
        let own = Path::new(point).join(inside);
        match files {
            Files::Version1 => places.push((own, files)),
            Files::Version2 => {
                let hands_on = |folder: &&Path| {
                    let text = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
                    text.split_ascii_whitespace().any(|one| one == "memory")
                };
                let above = own.ancestors().take_while(|folder| folder.starts_with(point)).find(hands_on);
                places.extend(above.map(|folder| (folder.to_path_buf(), files)));
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_both_versions() {
        let mounts = "30 29 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      31 29 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let own = "4:memory:/a/b\n1:cpu:/c\n0::/\n";
        assert_eq!(places(own, mounts), [(PathBuf::from("/sys/fs/cgroup/memory/a/b"), Files::Version1)]);
        // In a container the mount begins at its own group.
        let mounts = "30 29 0:27 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let own = "4:memory:/docker/1\n";
        assert_eq!(places(own, mounts), [(PathBuf::from("/sys/fs/cgroup/memory/"), Files::Version1)]);
        let top = std::env::temp_dir().join(format!("retort-cgroup-{}", std::process::id()));
        fs::create_dir_all(top.join("user/session")).unwrap();
        fs::write(top.join("user/cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        fs::write(top.join("user/session/cgroup.subtree_control"), "\n").unwrap();
        let mounts = format!("30 29 0:27 / {} rw - cgroup2 cgroup2 rw,nsdelegate\n", top.display());
        assert_eq!(places("0::/user/session\n", &mounts), [(top.join("user"), Files::Version2)]);
        assert_eq!(places("0::/other\n", &mounts), []);
        fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_group_counts_the_kernels_kills() {
        let path = std::env::temp_dir().join(format!("retort-group-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let group = Group { path: path.clone(), files: Files::Version2, limit: 0, kills: 1 };
        fs::write(path.join("memory.events"), "low 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n").unwrap();
        assert!(!group.has_killed());
        fs::write(path.join("memory.events"), "oom_kill 2\n").unwrap();
        assert!(group.has_killed());
        group.enter(7);
        assert_eq!(fs::read_to_string(path.join("cgroup.procs")).unwrap(), "7");
        fs::remove_dir_all(&path).unwrap();
    }
}
