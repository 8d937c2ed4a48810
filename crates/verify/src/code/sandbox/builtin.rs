//! The built-in sandbox, parent's side: one clone into new namespaces, and the id maps.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_long};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::child::{self, Bind, Fds, GO, GO_CHANGE_USER, NOBODY, Plan, Step};
use super::descriptors::pipe;
use super::layout::Layout;
use super::limits::{self, Limits};
use super::process::{Running, Streams};
use super::program::{Program, environment};
use crate::code::CodeError;

const NAMESPACES: c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Devices that programs may open.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// The parts of the plan that do not change from program to program.
pub(super) struct Builtin {
    links: Vec<(CString, CString)>,
    binds: Vec<Mount>,
    devices: Vec<(CString, CString)>,
    filter: Vec<libc::sock_filter>,
    /// Version of the kernel's Landlock interface, 0 without.
    pub landlock: i32,
}

/// A bind, or an empty folder over another: see [`Bind`].
struct Mount {
    source: Option<CString>,
    target: CString,
    folders: Vec<CString>,
    folder: bool,
}

impl Builtin {
    /// Lays out the view. Fails where the system-call filter cannot be compiled for this machine.
    pub(super) fn new(layout: &Layout) -> Result<Self, CodeError> {
        let filter = super::seccomp::filter()
            .ok_or_else(|| CodeError::Unsupported(format!("architecture `{}`", std::env::consts::ARCH)))?;
        let new = |path: &Path| c_string(format_path("/new", path));
        let old = |path: &Path| c_string(format_path("/old", path));
        let device = |name: &&str| {
            let path = Path::new("/dev").join(name);
            Ok((old(&path)?, new(&path)?))
        };
        Ok(Self {
            links: layout
                .links
                .iter()
                .map(|(says, at)| Ok((c_string(says.as_os_str())?, new(at)?)))
                .collect::<Result<_, CodeError>>()?,
            binds: layout
                .views
                .iter()
                .map(|view| {
                    Ok(Mount {
                        source: view.source.as_deref().map(old).transpose()?,
                        target: new(&view.target)?,
                        folders: view.folders().into_iter().map(new).collect::<Result<_, _>>()?,
                        folder: view.folder,
                    })
                })
                .collect::<Result<_, CodeError>>()?,
            devices: DEVICES.iter().map(device).collect::<Result<_, CodeError>>()?,
            filter,
            landlock: landlock_version(),
        })
    }

    /// Starts `program`; with no command it only rehearses the set-up and exits with code 0.
    pub(super) fn start(&self, program: &Program<'_>, streams: Streams, given: &Limits) -> Result<Running, CodeError> {
        let arguments = program.arguments()?;
        let environment = environment();
        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let folders: Vec<Vec<&CStr>> =
            self.binds.iter().map(|bind| bind.folders.iter().map(CString::as_c_str).collect()).collect();
        let binds: Vec<Bind<'_>> = self
            .binds
            .iter()
            .zip(&folders)
            .map(|(bind, folders)| Bind {
                source: bind.source.as_deref(),
                target: &bind.target,
                folders,
                folder: bind.folder,
            })
            .collect();
        let devices: Vec<Bind<'_>> = self
            .devices
            .iter()
            .map(|(source, target)| Bind { source: Some(source), target, folders: &[], folder: false })
            .collect();
        let links: Vec<(&CStr, &CStr)> = self.links.iter().map(|(a, b)| (a.as_c_str(), b.as_c_str())).collect();
        let (report_read, report_write) = pipe()?;
        let (go_read, go_write) = pipe()?;
        let plan = Plan {
            links: &links,
            binds: &binds,
            devices: &devices,
            source_path: &c_string(format_path("/new", Path::new(&program.path())).as_os_str())?,
            source: program.source.as_bytes(),
            root_options: &c_string(format!("mode=755,size={}", program.source.len() + (1 << 20)))?,
            tmp_options: &c_string(format!("mode=1777,size={},nr_inodes=16384", given.file_bytes))?,
            argv: &pointers(&arguments),
            envp: &pointers(&environment),
            fds: Fds {
                stdin: streams.stdin.as_raw_fd(),
                stdout: streams.stdout.as_raw_fd(),
                stderr: streams.stderr.as_raw_fd(),
                report: report_write.as_raw_fd(),
                go: go_read.as_raw_fd(),
            },
            limits: &limits::resource_limits(given, true),
            landlock: self.landlock,
            filter: &self.filter,
        };
        let (pid, pidfd) = clone_into(&plan)?;
        let running = Running::builtin(pid, pidfd, report_read.into());
        let go = write_maps(pid).map_err(|source| CodeError::Step { step: Step::Maps.text(), source })?;
        fs::File::from(go_write)
            .write_all(&[go])
            .map_err(|source| CodeError::Step { step: Step::Maps.text(), source })?;
        Ok(running)
    }
}

/// Clones the process into the new namespaces; the child runs [`child::process_one`].
fn clone_into(plan: &Plan<'_>) -> Result<(libc::pid_t, OwnedFd), CodeError> {
    let mut pidfd: c_int = -1;
    let flags = c_long::from(NAMESPACES | libc::CLONE_PIDFD | libc::SIGCHLD);
    // SAFETY: the signal sets are initialised before they are read. The clone copies the memory (no `CLONE_VM`), so the
    // child may only make system calls, which is what `process_one` promises; a handler of this process must not run
    // in the child, so all signals are blocked around the clone and stay blocked there.
    let (pid, error) = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::syscall(libc::SYS_clone, flags, 0 as c_long, &raw mut pidfd, 0 as c_long, 0 as c_long);
        if pid == 0 {
            child::process_one(plan);
        }
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        (pid, error)
    };
    if pid < 0 {
        return Err(CodeError::Step { step: "make new namespaces", source: error });
    }
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    Ok((pid as libc::pid_t, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Writes the user and group maps of the child, and says which byte starts it.
///
/// Root maps itself (to build the file system) and nobody (to run the program); anyone else maps only himself, as
/// nobody. Both leave the program without any right over files of the caller beyond what the read-only view shows.
/// Root that may not map nobody gets no sandbox: the kernel does not limit the number of root's processes.
fn write_maps(pid: libc::pid_t) -> io::Result<u8> {
    let write = |file: &str, text: &str| fs::write(format!("/proc/{pid}/{file}"), text);
    // SAFETY: these calls cannot fail and touch no memory.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let both = format!("0 0 1\n{NOBODY} {NOBODY} 1\n");
    if user == 0 {
        match write("gid_map", &both) {
            Ok(()) => return write("uid_map", &both).map(|()| GO_CHANGE_USER),
            Err(error) if limits::is_global_root() => return Err(error),
            Err(_) => {}
        }
    }
    write("setgroups", "deny")?;
    write("gid_map", &format!("{NOBODY} {group} 1\n"))?;
    write("uid_map", &format!("{NOBODY} {user} 1\n"))?;
    Ok(GO)
}

fn landlock_version() -> i32 {
    // SAFETY: with a null attribute and size 0 the call only returns its version.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0 as c_long, 1 as c_long) };
    version.max(0) as i32
}

fn format_path(root: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(root);
    text.push(path.as_os_str());
    text
}

fn c_string(text: impl AsRef<OsStr>) -> Result<CString, CodeError> {
    let text = text.as_ref();
    CString::new(text.as_bytes()).map_err(|_| CodeError::NulByte(text.to_string_lossy().into_owned()))
}
