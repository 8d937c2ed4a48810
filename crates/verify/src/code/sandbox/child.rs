//! What happens between the clone and the exec: the side of the built-in sandbox that runs inside it.
//!
//! The process that clones has other threads, so nothing here may allocate, lock or unwind: each function is a list of
//! system calls on memory that the parent laid out beforehand. Process 1 of the new PID namespace builds the file
//! system, starts the program as process 2 and reports how it ended; when process 1 goes, the kernel kills the rest.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::os::fd::RawFd;

use libc::{MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC};

/// User and group of the program inside the sandbox, and outside too where the parent may map it.
pub(super) const NOBODY: u32 = 65534;
/// The byte by which the parent says that the id maps stand and that the program must change to [`NOBODY`].
pub(super) const GO_CHANGE_USER: u8 = 2;
/// The byte by which the parent says that the id maps stand and that the child is [`NOBODY`] already.
pub(super) const GO: u8 = 1;

/// A message from the child: fixed size, so that one `write` is one message.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Report {
    /// Zero when the program ended; otherwise the [`Step`] that failed.
    pub step: u32,
    /// The wait status of the program, or the error number of the step.
    pub code: i32,
    /// Processor time of the program and of the children it waited for, in microseconds.
    pub cpu_micros: i64,
    /// Largest resident set of one process, in KiB.
    pub max_rss_kib: i64,
}

/// A step of the set-up, for error texts.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Waiting for the parent's id maps.
    Maps = 1,
    /// Making every mount private.
    Private,
    /// Mounting the staging root and changing into it.
    Stage,
    /// Mounting the new root and making its folders.
    Root,
    /// Binding the read-only folders.
    Bind,
    /// Binding the devices.
    Devices,
    /// Writing the program's file.
    Source,
    /// Changing into the new root and making it read-only.
    Pivot,
    /// Forking the program.
    Fork,
    /// Wiring standard input, output and error.
    Streams,
    /// Setting resource limits.
    Limits,
    /// Giving up privileges.
    Privileges,
    /// Restricting itself with Landlock.
    Landlock,
    /// Installing the system-call filter.
    Seccomp,
    /// Executing the command.
    Exec,
}

impl Step {
    const ALL: [Self; 15] = [
        Self::Maps,
        Self::Private,
        Self::Stage,
        Self::Root,
        Self::Bind,
        Self::Devices,
        Self::Source,
        Self::Pivot,
        Self::Fork,
        Self::Streams,
        Self::Limits,
        Self::Privileges,
        Self::Landlock,
        Self::Seccomp,
        Self::Exec,
    ];

    /// The step with this number.
    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u32 == number)
    }

    /// What the step does, to follow "cannot".
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Maps => "map user ids",
            Self::Private => "make the mounts private",
            Self::Stage => "mount the staging root on `/tmp`",
            Self::Root => "mount the new root",
            Self::Bind => "bind a read-only folder",
            Self::Devices => "bind the devices",
            Self::Source => "write the program's file",
            Self::Pivot => "change into the new root",
            Self::Fork => "start a process",
            Self::Streams => "connect the streams",
            Self::Limits => "set the resource limits",
            Self::Privileges => "give up privileges",
            Self::Landlock => "restrict itself with landlock",
            Self::Seccomp => "install the system-call filter",
            Self::Exec => "execute the command",
        }
    }
}

/// A bind mount of the read-only view, or an empty folder over a part of it.
pub(super) struct Bind<'a> {
    /// The source, under `/old`; `None` for an empty folder.
    pub source: Option<&'a CStr>,
    /// The target, under `/new`.
    pub target: &'a CStr,
    /// Folders to make before, parents first.
    pub folders: &'a [&'a CStr],
    /// Whether the target is a folder (made before) or a file (to be made).
    pub folder: bool,
}

/// Everything that the child needs, laid out before the clone.
pub(super) struct Plan<'a> {
    /// Symbolic links: what they say, and where they stand under `/new`.
    pub links: &'a [(&'a CStr, &'a CStr)],
    /// The read-only view.
    pub binds: &'a [Bind<'a>],
    /// The devices: `/old/dev/null` on `/new/dev/null`, and so on.
    pub devices: &'a [Bind<'a>],
    /// Where the program's file goes, under `/new`.
    pub source_path: &'a CStr,
    /// The program's file.
    pub source: &'a [u8],
    /// Mount options of `/`.
    pub root_options: &'a CStr,
    /// Mount options of `/tmp`.
    pub tmp_options: &'a CStr,
    /// Arguments, ended by a null pointer; nothing but the null pointer for a rehearsal that executes nothing.
    pub argv: &'a [*const c_char],
    /// Environment, ended by a null pointer.
    pub envp: &'a [*const c_char],
    /// Standard input, output and error of the program, the report pipe, and the pipe to wait on.
    pub fds: Fds,
    /// Resource limits: which, soft, hard.
    pub limits: &'a [(c_int, u64, u64)],
    /// Version of Landlock's interface; 0 where the kernel has none.
    pub landlock: i32,
    /// The system-call filter.
    pub filter: &'a [libc::sock_filter],
}

/// The descriptors that live through the clone; all are above 2 and close on exec.
#[derive(Clone, Copy)]
pub(super) struct Fds {
    /// Becomes descriptor 0.
    pub stdin: RawFd,
    /// Becomes descriptor 1.
    pub stdout: RawFd,
    /// Becomes descriptor 2.
    pub stderr: RawFd,
    /// Reports go here; the program never has it.
    pub report: RawFd,
    /// Says when the id maps are written.
    pub go: RawFd,
}

/// Runs process 1. Never returns.
///
/// # Safety
/// Only in a fresh copy of the parent's memory (a clone without `CLONE_VM`) with all signals blocked; every pointer in
/// `plan` must be valid.
pub(super) unsafe fn process_one(plan: &Plan<'_>) -> ! {
    // SAFETY: plain system calls on memory that outlives them, in a single-threaded copy of the parent.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        close_others(&[plan.fds.stdin, plan.fds.stdout, plan.fds.stderr, plan.fds.report, plan.fds.go]);
        libc::setsid();
        let mut go = 0u8;
        // The parent's end of the pipe closes when it dies, so an early death is seen here too.
        if libc::read(plan.fds.go, (&raw mut go).cast(), 1) != 1 {
            libc::_exit(1);
        }
        first_to_be_killed();
        // This process holds a copy of the parent's memory: keys, expected answers. Nobody inside may look at it.
        check(plan, Step::Privileges, libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0));
        build_root(plan);
        let child =
            libc::syscall(libc::SYS_clone, c_long::from(libc::SIGCHLD), 0 as c_long, 0 as c_long, 0 as c_long, 0);
        match child {
            0 => process_two(plan, go == GO_CHANGE_USER),
            child if child > 0 => reap(plan, child as libc::pid_t),
            _ => fail(plan, Step::Fork),
        }
    }
}

/// Should memory run out all the same, the kernel is to take this process and its children, not their judge.
pub(super) unsafe fn first_to_be_killed() {
    // SAFETY: system calls on constants.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, c"1000".as_ptr().cast(), 4);
            libc::close(fd);
        }
    }
}

/// Waits for the program, reports, and goes; orphans are reaped on the way.
unsafe fn reap(plan: &Plan<'_>, program: libc::pid_t) -> ! {
    // SAFETY: system calls on local variables.
    unsafe {
        close_others(&[plan.fds.report]);
        loop {
            let mut status: c_int = 0;
            let mut usage: libc::rusage = std::mem::zeroed();
            let ended = libc::wait4(-1, &raw mut status, libc::__WALL, &raw mut usage);
            if ended == program {
                let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
                send(
                    plan.fds.report,
                    Report {
                        step: 0,
                        code: status,
                        cpu_micros: micros(usage.ru_utime) + micros(usage.ru_stime),
                        max_rss_kib: usage.ru_maxrss,
                    },
                );
                libc::_exit(0);
            }
            if ended < 0 && *libc::__errno_location() != libc::EINTR {
                libc::_exit(1);
            }
        }
    }
}

/// Gives up everything and becomes the program. Never returns.
unsafe fn process_two(plan: &Plan<'_>, change_user: bool) -> ! {
    // SAFETY: system calls on memory laid out by the parent; `argv` and `envp` end with a null pointer.
    unsafe {
        libc::setsid();
        for (fd, target) in [(plan.fds.stdin, 0), (plan.fds.stdout, 1), (plan.fds.stderr, 2)] {
            check(plan, Step::Streams, libc::dup2(fd, target));
        }
        for &(resource, soft, hard) in plan.limits {
            let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
            let set = libc::syscall(libc::SYS_prlimit64, 0, c_long::from(resource), &raw const limit, 0 as c_long);
            check(plan, Step::Limits, set as c_int);
        }
        check(plan, Step::Privileges, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        if plan.landlock > 0 {
            landlock(plan);
        }
        if change_user {
            // The raw calls change this thread only, which is the only one; glibc's would signal threads of the parent.
            check(plan, Step::Privileges, libc::syscall(libc::SYS_setgroups, 0 as c_long, 0 as c_long) as c_int);
            let id = c_long::from(NOBODY);
            check(plan, Step::Privileges, libc::syscall(libc::SYS_setresgid, id, id, id) as c_int);
            check(plan, Step::Privileges, libc::syscall(libc::SYS_setresuid, id, id, id) as c_int);
        }
        let header: [u32; 2] = [0x2008_0522, 0];
        let none = [0u32; 6];
        let dropped = libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr());
        check(plan, Step::Privileges, dropped as c_int);
        // Ignored signals stay ignored over exec, and Rust ignores SIGPIPE.
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
        check(plan, Step::Pivot, libc::chdir(c"/tmp".as_ptr()));
        let filter = libc::sock_fprog { len: plan.filter.len() as u16, filter: plan.filter.as_ptr().cast_mut() };
        let installed = libc::syscall(
            libc::SYS_seccomp,
            c_long::from(libc::SECCOMP_SET_MODE_FILTER),
            0 as c_long,
            &raw const filter,
        );
        check(plan, Step::Seccomp, installed as c_int);
        if plan.argv[0].is_null() {
            libc::_exit(0);
        }
        libc::execve(plan.argv[0], plan.argv.as_ptr(), plan.envp.as_ptr());
        fail(plan, Step::Exec)
    }
}

/// Builds the file system: a tmpfs root with read-only binds, private `/tmp` and `/dev/shm`, a `/proc` of its own.
unsafe fn build_root(plan: &Plan<'_>) {
    // SAFETY: mount calls on constant or laid-out strings, in a mount namespace of this process alone.
    unsafe {
        let plain = MS_NOSUID | MS_NODEV;
        check(plan, Step::Private, mount(None, c"/", None, MS_REC | MS_PRIVATE, None));
        // Two roots one after the other, as bubblewrap does: from the first one the old tree is visible as a whole
        // under `/old`, even the part of it that lies under `/tmp`.
        check(plan, Step::Stage, mount(Some(c"tmpfs"), c"/tmp", Some(c"tmpfs"), plain, Some(c"mode=755,size=64k")));
        check(plan, Step::Stage, libc::chdir(c"/tmp".as_ptr()));
        for folder in [c"old", c"new", c"empty"] {
            check(plan, Step::Stage, libc::mkdir(folder.as_ptr(), 0o755));
        }
        check(plan, Step::Stage, libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c"old".as_ptr()) as c_int);
        check(plan, Step::Stage, libc::chdir(c"/".as_ptr()));

        check(plan, Step::Root, mount(Some(c"tmpfs"), c"/new", Some(c"tmpfs"), plain, Some(plan.root_options)));
        for folder in [c"/new/tmp", c"/new/dev", c"/new/dev/shm", c"/new/proc", c"/new/program"] {
            check(plan, Step::Root, libc::mkdir(folder.as_ptr(), 0o755));
        }
        check(plan, Step::Root, mount(Some(c"tmpfs"), c"/new/tmp", Some(c"tmpfs"), plain, Some(plan.tmp_options)));
        let shm = Some(c"mode=1777,size=16m,nr_inodes=16384");
        check(plan, Step::Root, mount(Some(c"tmpfs"), c"/new/dev/shm", Some(c"tmpfs"), plain | MS_NOEXEC, shm));
        for (says, at) in plan.links {
            check(plan, Step::Root, libc::symlink(says.as_ptr(), at.as_ptr()));
        }
        let read_only = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID;
        for bind in plan.binds {
            bind_one(plan, Step::Bind, bind, read_only | libc::MOUNT_ATTR_NODEV);
        }
        for hidden in plan.binds.iter().filter(|bind| bind.source.is_none()) {
            check(plan, Step::Bind, set_attributes(hidden.target, 0, read_only | libc::MOUNT_ATTR_NODEV));
        }
        for device in plan.devices {
            bind_one(plan, Step::Devices, device, read_only | libc::MOUNT_ATTR_NOEXEC);
        }
        // Only this sandbox's processes are in it, and nothing is written to it: whoever may raise its own score for the
        // kernel's choice of a victim may lower it again. Some containers forbid the mount: then there is no `/proc` at all.
        let proc_flags = plain | MS_NOEXEC | MS_RDONLY;
        if mount(Some(c"proc"), c"/new/proc", Some(c"proc"), proc_flags, Some(c"subset=pid")) != 0 {
            mount(Some(c"proc"), c"/new/proc", Some(c"proc"), proc_flags, None);
        }
        // Process 1 is a copy of our parent: its command line may hold what the program must not see.
        if mount(Some(c"/empty"), c"/new/proc/1", None, MS_BIND, None) == 0 {
            check(plan, Step::Root, set_attributes(c"/new/proc/1", 0, read_only));
        } else if *libc::__errno_location() != libc::ENOENT {
            fail(plan, Step::Root);
        }
        write_source(plan);

        check(plan, Step::Pivot, libc::umount2(c"/old".as_ptr(), libc::MNT_DETACH));
        check(plan, Step::Pivot, libc::chdir(c"/new".as_ptr()));
        check(plan, Step::Pivot, libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) as c_int);
        check(plan, Step::Pivot, libc::umount2(c".".as_ptr(), libc::MNT_DETACH));
        check(plan, Step::Pivot, libc::chdir(c"/".as_ptr()));
        check(plan, Step::Pivot, set_attributes(c"/", 0, read_only | libc::MOUNT_ATTR_NODEV));
        libc::sethostname(c"sandbox".as_ptr(), 7);
    }
}

unsafe fn bind_one(plan: &Plan<'_>, step: Step, bind: &Bind<'_>, attributes: u64) {
    // SAFETY: as in `build_root`.
    unsafe {
        for folder in bind.folders {
            if libc::mkdir(folder.as_ptr(), 0o755) != 0 && *libc::__errno_location() != libc::EEXIST {
                fail(plan, step);
            }
        }
        let Some(source) = bind.source else {
            return check(plan, step, mount(Some(c"/empty"), bind.target, None, MS_BIND, None));
        };
        if !bind.folder {
            let fd =
                libc::open(bind.target.as_ptr(), libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC, 0o644 as c_uint);
            check(plan, step, fd);
            libc::close(fd);
        }
        check(plan, step, mount(Some(source), bind.target, None, MS_BIND | MS_REC, None));
        check(plan, step, set_attributes(bind.target, libc::AT_RECURSIVE as c_uint, attributes));
    }
}

unsafe fn write_source(plan: &Plan<'_>) {
    // SAFETY: as in `build_root`; the slice stays inside `plan.source`.
    unsafe {
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
        let fd = libc::open(plan.source_path.as_ptr(), flags, 0o644 as c_uint);
        check(plan, Step::Source, fd);
        let mut rest = plan.source;
        while !rest.is_empty() {
            let written = libc::write(fd, rest.as_ptr().cast(), rest.len());
            if written <= 0 {
                fail(plan, Step::Source);
            }
            rest = &rest[written as usize..];
        }
        libc::close(fd);
    }
}

/// Restricts the process to reading everywhere and writing in its private folders. The mounts say the same; this holds
/// where a kernel bug opens one of them, and it also closes TCP, abstract sockets and signals to the outside.
unsafe fn landlock(plan: &Plan<'_>) {
    const READ: u64 = 1 | 1 << 2 | 1 << 3; // execute, read file, read folder
    const DEVICE: u64 = READ | 1 << 1; // write file
    #[repr(C)]
    struct Ruleset {
        files: u64,
        network: u64,
        scoped: u64,
    }
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: i32,
    }
    let (mut files, mut size) = (0x1fff_u64, 8_i32);
    if plan.landlock >= 2 {
        files |= 1 << 13; // refer
    }
    if plan.landlock >= 3 {
        files |= 1 << 14; // truncate
    }
    let mut ruleset = Ruleset { files, network: 0, scoped: 0 };
    if plan.landlock >= 4 {
        ruleset.network = 3; // bind and connect
        size = 16;
    }
    if plan.landlock >= 6 {
        ruleset.scoped = 3; // abstract sockets and signals
        size = 24;
    }
    // SAFETY: the structs have the kernel's layout, `size` names the part that this version of the interface knows.
    unsafe {
        let set = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, c_long::from(size), 0 as c_long);
        check(plan, Step::Landlock, set as c_int);
        for (path, access) in [(c"/", READ), (c"/tmp", files), (c"/dev/shm", files), (c"/dev", DEVICE)] {
            let fd = libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
            check(plan, Step::Landlock, fd);
            let rule = PathBeneath { access: access & files, parent: fd };
            let added = libc::syscall(libc::SYS_landlock_add_rule, set, 1 as c_long, &raw const rule, 0 as c_long);
            check(plan, Step::Landlock, added as c_int);
            libc::close(fd);
        }
        let restricted = libc::syscall(libc::SYS_landlock_restrict_self, set, 0 as c_long);
        check(plan, Step::Landlock, restricted as c_int);
        libc::close(set as c_int);
    }
}

unsafe fn mount(
    source: Option<&CStr>,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> c_int {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: each pointer is null or a string that outlives the call.
    unsafe { libc::mount(pointer(source), target.as_ptr(), pointer(kind), flags, pointer(options).cast::<c_void>()) }
}

unsafe fn set_attributes(path: &CStr, flags: c_uint, set: u64) -> c_int {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the struct has the size given.
    unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            c_long::from(flags),
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        ) as c_int
    }
}

/// Closes every descriptor but `keep`. The parent may hold files that do not close on exec, and process 1 never execs.
unsafe fn close_others<const N: usize>(keep: &[RawFd; N]) {
    let mut keep = *keep;
    keep.sort_unstable();
    let mut from: c_uint = 0;
    // SAFETY: closing descriptors of this process only.
    unsafe {
        for fd in keep {
            let fd = fd as c_uint;
            if fd > from {
                libc::syscall(libc::SYS_close_range, from, fd - 1, 0 as c_uint);
            }
            from = fd + 1;
        }
        libc::syscall(libc::SYS_close_range, from, c_uint::MAX, 0 as c_uint);
    }
}

unsafe fn check(plan: &Plan<'_>, step: Step, result: c_int) {
    if result < 0 {
        // SAFETY: as the caller's.
        unsafe { fail(plan, step) }
    }
}

/// Reports the step that failed with its error number, and ends the process.
unsafe fn fail(plan: &Plan<'_>, step: Step) -> ! {
    // SAFETY: the error number is this thread's own.
    unsafe {
        let code = *libc::__errno_location();
        send(plan.fds.report, Report { step: step as u32, code, cpu_micros: 0, max_rss_kib: 0 });
        libc::_exit(1)
    }
}

unsafe fn send(fd: RawFd, report: Report) {
    // SAFETY: `Report` is plain data without padding (4 + 4 + 8 + 8 bytes).
    unsafe { libc::write(fd, (&raw const report).cast(), size_of::<Report>()) };
}
