//! What all processes of a sandbox use together, read from `/proc`.

use std::fs;
use std::time::Duration;

/// A look at the processes below one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processes and threads, without the root itself.
    pub tasks: u32,
    /// Resident memory, shared pages counted once for each process, without the root itself.
    pub rss_bytes: u64,
    /// Processor time, that of ended and waited-for processes included.
    pub cpu: Duration,
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
        }
    }
    usage
}

/// Resident memory below `root` with shared pages divided among their users; `None` where the kernel does not tell.
pub(super) fn proportional_bytes(root: libc::pid_t) -> Option<u64> {
    let mut total = 0;
    for pid in tree(root).into_iter().filter(|&pid| pid != root) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        total += line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024;
    }
    Some(total)
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

fn tree(root: libc::pid_t) -> Vec<libc::pid_t> {
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
        rss_bytes: number(21)? * page_bytes,
        cpu: Duration::from_millis(ticks * 1000 / ticks_per_second),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let line = "7 (a) b) (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 30 20 20 0 3 0 999 1000000 256 184 1 1 0";
        let usage = parse_stat(line, 100, 4096).unwrap();
        assert_eq!(usage, Usage { tasks: 3, rss_bytes: 256 * 4096, cpu: Duration::from_millis(2500) });
    }

    #[test]
    fn this_process_has_a_tree() {
        assert!(tree(std::process::id() as libc::pid_t).len() < 4096);
        assert!(of_process(std::process::id() as libc::pid_t).unwrap().rss_bytes > 0);
    }
}
