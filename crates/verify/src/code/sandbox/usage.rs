//! What all processes of a sandbox use together, read from `/proc`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// A look at the processes below one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processes and threads, without the root itself.
    pub tasks: u32,
    /// Resident memory, shared pages counted once for each process, without the root itself.
    pub rss_bytes: u64,
    /// Address space, without the root's.
    pub virtual_bytes: u64,
    /// Processor time, that of ended and waited-for processes included.
    pub cpu: Duration,
    /// One of the processes, but not the root.
    pub any: Option<libc::pid_t>,
}

/// Looks at the tree below `root`. Processes that end meanwhile are left out.
pub(super) fn of_tree(root: libc::pid_t) -> Usage {
    let mut usage = Usage::default();
    for pid in tree(root) {
        let Some(one) = of_process(pid) else { continue };
        usage.cpu += one.cpu;
        // The root of a built-in sandbox is a copy of this process: its memory is ours, shared.
        if pid != root {
            usage.tasks += one.tasks;
            usage.rss_bytes += one.rss_bytes;
            usage.virtual_bytes += one.virtual_bytes;
            usage.any = Some(pid);
        }
    }
    usage
}

/// The private folders of the sandbox that process `pid` is in, opened: they can be looked at even after its end. None of
/// them where we may not look; then their own limits hold.
pub(super) fn private_folders(pid: libc::pid_t) -> Vec<File> {
    let root = Path::new("/proc").join(pid.to_string()).join("root");
    let open = |folder: &&str| File::open(root.join(folder)).ok();
    let mut folders: Vec<File> = ["tmp", "dev/shm"].iter().filter_map(open).collect();
    folders.retain(|folder| status_of(folder).is_some_and(|status| status.f_type == libc::TMPFS_MAGIC));
    folders
}

/// What the files in such folders take, with their inodes.
pub(super) fn file_bytes(folders: &[File]) -> u64 {
    // About what an inode with its name takes.
    const INODE: u64 = 1 << 10;
    let used = |status: libc::statfs| {
        let blocks = status.f_blocks.saturating_sub(status.f_bfree) * status.f_bsize as u64;
        blocks + status.f_files.saturating_sub(status.f_ffree) * INODE
    };
    folders.iter().filter_map(status_of).map(used).sum()
}

fn status_of(folder: &File) -> Option<libc::statfs> {
    // SAFETY: fills a struct of this stack frame.
    unsafe {
        let mut status: libc::statfs = std::mem::zeroed();
        (libc::fstatfs(folder.as_raw_fd(), &raw mut status) == 0).then_some(status)
    }
}

/// What may wait in the sockets of the sandbox that process `pid` is in.
pub(super) fn socket_bytes(pid: libc::pid_t) -> u64 {
    // The kernel's buffers of one socket at most (`net.core.wmem_max`, which it doubles).
    const SOCKET: u64 = 416 << 10;
    let lines = fs::read(format!("/proc/{pid}/net/unix")).map_or(0, |text| memchr::memchr_iter(b'\n', &text).count());
    (lines.saturating_sub(1) as u64) * SOCKET
}

/// Memory below `root` as exactly as the kernel tells: private pages divided among their users, page tables, and shared
/// memory without a name at its full size, since its pages stay when nobody maps them any more.
pub(super) fn mapped_bytes(root: libc::pid_t) -> u64 {
    let mut shared: BTreeMap<String, u64> = BTreeMap::new();
    let mut total = 0;
    for pid in tree(root).into_iter().filter(|&pid| pid != root) {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let kib = |text: &str, name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().trim_end_matches("kB").trim().parse().ok()
        };
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let proportional = || Some(kib(&rollup, "Pss_Anon")? + kib(&rollup, "Pss_File")?);
        let resident = || kib(&status, "VmRSS").unwrap_or(0).saturating_sub(kib(&status, "RssShmem").unwrap_or(0));
        total += 1024 * (proportional().unwrap_or_else(resident) + kib(&status, "VmPTE").unwrap_or(0));
        for line in fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().lines() {
            if let Some((inode, bytes)) = anonymous_shared(line) {
                let known = shared.entry(inode).or_default();
                *known = bytes.max(*known);
            }
        }
    }
    total + shared.values().sum::<u64>()
}

/// The inode and the size of a line of `/proc/PID/maps` that is shared memory without a file.
fn anonymous_shared(line: &str) -> Option<(String, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let inode = fields.nth(2)?;
    if !permissions.ends_with('s') || fields.next()? != "/dev/zero" {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    let bytes = u64::from_str_radix(to, 16).ok()?.checked_sub(u64::from_str_radix(from, 16).ok()?)?;
    Some((inode.to_owned(), bytes))
}

/// How many processes the kernel has killed for want of memory since it started.
pub(super) fn kernel_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// The longest that a thread below `root` has been ready to run without a processor to run on.
pub(super) fn kept_waiting(root: libc::pid_t) -> Duration {
    let mut longest = 0;
    for pid in tree(root) {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            // Nanoseconds on a processor, nanoseconds waiting for one, and a count.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            longest = longest.max(text.split_ascii_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0));
        }
    }
    Duration::from_nanos(longest)
}

/// The processes of a sandbox, its root first.
pub(super) fn tree(root: libc::pid_t) -> Vec<libc::pid_t> {
    // A fork bomb is seen as one long before this many.
    const ENOUGH: usize = 4096;
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() && found.len() < ENOUGH {
        let pid = found[next];
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let Ok(children) = fs::read_to_string(thread.path().join("children")) else { continue };
            found.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<libc::pid_t>().ok()));
        }
    }
    found
}

fn of_process(pid: libc::pid_t) -> Option<Usage> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // SAFETY: these calls only return constants of the system.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    parse_stat(&text, ticks.max(1) as u64, page.max(1) as u64)
}

/// Reads a line of `/proc/PID/stat`. The name in parentheses may hold anything: fields count from its last parenthesis.
fn parse_stat(text: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Usage> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i64>().ok().map(|value| value.max(0) as u64);
    let ticks: u64 = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Usage {
        tasks: number(17)? as u32,
        virtual_bytes: number(20)?,
        rss_bytes: number(21)? * page_bytes,
        cpu: Duration::from_millis(ticks * 1000 / ticks_per_second),
        any: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let line = "7 (a) b) (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 30 20 20 0 3 0 999 1000000 256 184 1 1 0";
        let usage = parse_stat(line, 100, 4096).unwrap();
        let cpu = Duration::from_millis(2500);
        assert_eq!(usage, Usage { tasks: 3, rss_bytes: 256 * 4096, virtual_bytes: 1000000, cpu, any: None });
    }

    #[test]
    fn shared_memory_without_a_name_is_told_apart() {
        let line = "7f0000000000-7f0000100000 rw-s 00000000 00:01 1047 /dev/zero (deleted)";
        assert_eq!(anonymous_shared(line), Some(("1047".into(), 1 << 20)));
        for other in [
            "7f0000000000-7f0000100000 rw-p 00000000 00:00 0",
            "7f0000000000-7f0000100000 rw-s 00000000 00:2a 12 /tmp/dev/zero",
            "7f0000000000-7f0000100000 r--s 00000000 00:2a 12 /usr/lib/x",
            "",
        ] {
            assert_eq!(anonymous_shared(other), None, "{other}");
        }
    }

    #[test]
    fn this_process_has_a_tree() {
        assert!(tree(std::process::id() as libc::pid_t).len() < 4096);
        assert!(of_process(std::process::id() as libc::pid_t).unwrap().rss_bytes > 0);
    }
}
