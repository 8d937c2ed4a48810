//! The escape list: each way out of the sandbox, tried in every sandbox that works on this machine.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::time::{Duration, Instant};

use retort_verify::code::sandbox::{Limits, Program, RunResult, Sandbox, SandboxChoice, Status};
use retort_verify::code::{CodeError, Resolved, resolve};

/// Every sandbox that works here, each with a Python that it can show. Root runs bubblewrap as nobody, who may not be able
/// to read a Python in somebody's home folder: then it gets the system's.
fn sandboxes() -> Vec<(Sandbox, Resolved)> {
    let mut found = Vec::new();
    for choice in [SandboxChoice::Builtin, SandboxChoice::Bubblewrap] {
        let attempt = |python: &str| {
            let python = resolve(&[python.into(), "-s".into(), "{file}".into()])?;
            Ok((Sandbox::new(choice, &python.paths, &[])?, python))
        };
        match attempt("python3").or_else(|_: CodeError| attempt("/usr/bin/python3")) {
            Ok(sandbox) => found.push(sandbox),
            Err(error) => eprintln!("SKIPPED: sandbox {choice:?}: {error}"),
        }
    }
    found
}

fn limits() -> Limits {
    Limits { memory_bytes: 256 << 20, output_bytes: 1 << 20, ..Limits::of_seconds(2.0) }
}

/// Runs `source` in each sandbox and hands each result to `check`.
fn in_each(source: &str, stdin: &str, check: impl Fn(&RunResult, &str)) {
    for (sandbox, python) in sandboxes() {
        let program = Program { file: "main.py", source, command: &python.command };
        let result = sandbox.run(&program, stdin.as_bytes(), &limits()).expect("the sandbox works");
        let shown = format!(
            "{sandbox:?}: {:?} after {} ms\n--- stdout\n{}\n--- stderr\n{}",
            result.status,
            result.wall_ms,
            String::from_utf8_lossy(&result.stdout[..result.stdout.len().min(2000)]),
            String::from_utf8_lossy(&result.stderr)
        );
        check(&result, &shown);
    }
}

/// Runs `source`, which prints one line, in each sandbox.
fn prints(source: &str, expected: &str) {
    in_each(source, "", |result, shown| {
        assert_eq!(result.status, Status::Exited(0), "{shown}");
        assert_eq!(String::from_utf8_lossy(&result.stdout).trim(), expected, "{shown}");
    });
}

#[test]
fn a_program_reads_and_writes() {
    in_each("import sys\nprint(sum(map(int, sys.stdin.read().split())))", "1 2 3\n", |result, shown| {
        assert_eq!(result.status, Status::Exited(0), "{shown}");
        assert_eq!(result.stdout, b"6\n", "{shown}");
    });
    in_each("import sys\nsys.exit(3)", "", |result, shown| assert_eq!(result.status, Status::Exited(3), "{shown}"));
    in_each("import os\nos.kill(os.getpid(), 11)", "", |result, shown| {
        assert_eq!(result.status, Status::Signal(11), "{shown}");
    });
}

#[test]
fn the_network_is_closed() {
    prints(
        r"
import socket
def attempt(f):
    try:
        f()
        return 'open'
    except OSError:
        return 'closed'
def connect(family, address):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(1)
    s.connect(address)
print(attempt(lambda: connect(socket.AF_INET, ('1.1.1.1', 53))),
      attempt(lambda: connect(socket.AF_INET, ('127.0.0.1', 22))),
      attempt(lambda: connect(socket.AF_INET6, ('::1', 22))),
      attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
      attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
      attempt(lambda: connect(socket.AF_UNIX, '/run/dbus/system_bus_socket')),
      attempt(lambda: socket.getaddrinfo('example.com', 80)),
      attempt(lambda: socket.socketpair()))
",
        "closed closed closed closed closed closed closed open",
    );
}

#[test]
fn the_environment_and_the_privileges_are_empty() {
    prints(
        r"
import os
expected = {'PATH', 'HOME', 'TMPDIR', 'LANG', 'LC_CTYPE', 'PWD', 'PYTHONHASHSEED', 'PYTHONDONTWRITEBYTECODE',
            'PYTHONINTMAXSTRDIGITS', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'}
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
print(sorted(set(os.environ) - expected), os.getuid(), status['CapEff'].strip(), status['CapPrm'].strip(),
      status['NoNewPrivs'].strip(), status['Seccomp'].strip(), os.getcwd(), os.uname().nodename)
",
        "[] 65534 0000000000000000 0000000000000000 1 2 /tmp sandbox",
    );
}

#[test]
fn a_fork_bomb_is_contained() {
    let before = Instant::now();
    in_each("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "", |result, shown| {
        assert_eq!(result.status, Status::TimedOut, "{shown}");
    });
    assert!(before.elapsed() < Duration::from_mins(1));
    // The kernel refuses one process too many: nothing depends on how soon anyone looks.
    prints(
        r"
import threading, time
threading.stack_size(1 << 17)
n = 0
while n < 1000:
    try:
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
    except RuntimeError:
        break
    n += 1
print(40 < n < 64)
",
        "True",
    );
    in_each(
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1,)).start()",
        "",
        |r, shown| {
            assert_ne!(r.status, Status::Exited(0), "{shown}");
        },
    );
}

#[test]
fn other_processes_are_invisible() {
    // Process 1 of the sandbox belongs to the sandbox; its memory and files are as closed as everyone else's.
    prints(
        r"
import os
pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]
def attempt(f):
    try:
        f()
        return 'open'
    except OSError:
        return 'closed'
print(all(pid == 1 or pid == os.getpid() for pid in pids),
      attempt(lambda: open('/proc/1/mem', 'rb').read(1)),
      attempt(lambda: open('/proc/1/mem', 'r+b')),
      *(attempt(lambda: os.open(f'/proc/1/{link}/etc/passwd', os.O_RDONLY)) for link in ('root', 'cwd')),
      attempt(lambda: open('/proc/sysrq-trigger', 'w').write('b')))
",
        "True closed closed closed closed closed",
    );
}

#[test]
fn the_parent_cannot_be_killed() {
    prints(
        r"
import os, signal
for pid in [os.getppid(), 1]:
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP):
        try: os.kill(pid, number)
        except OSError: pass
print('alive')
",
        "alive",
    );
    // A signal to everyone reaches only the program's own processes.
    in_each("import os\nos.kill(-1, 9)", "", |result, shown| {
        assert!(matches!(result.status, Status::Exited(0 | 1) | Status::Signal(9)), "{shown}");
    });
}

#[test]
fn files_outside_are_closed_and_links_lead_nowhere() {
    let secret = std::env::temp_dir().join(format!("retort-secret-{}", std::process::id()));
    std::fs::write(&secret, "secret").unwrap();
    let source = r"
import os
out = []
for target in ['/etc/shadow', '/etc/passwd', 'HOME/.bashrc', 'HOME/.ssh', 'HOME/.cargo', '/home', 'SECRET', '/sys/kernel',
               *(f'/proc/1/{link}/etc/shadow' for link in ('root', 'cwd')),
               '/var/run', '/dev/sda', '/dev/vda', '/dev/mem', '/dev/kmsg']:
    link = '/tmp/link'
    os.symlink(target, link)
    try:
        os.listdir(link) if os.path.isdir(link) else open(link).read()
        out.append(target)
    except OSError:
        pass
    os.unlink(link)
for path in ['/x', '/usr/x', '/program/main.py', '/program/x', '/dev/x', '/etc/x', '/bin/x', '/proc/self/x']:
    try:
        open(path, 'w').write('x')
        out.append('write ' + path)
    except OSError:
        pass
print(out)
"
    .replace("SECRET", secret.to_str().unwrap())
    // The folder of whoever runs the tests.
    .replace("HOME", &std::env::var("HOME").unwrap_or_else(|_| "/home".into()));
    prints(&source, "[]");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    std::fs::remove_file(&secret).unwrap();
}

#[test]
fn no_files_are_left_behind() {
    let name = format!("retort-left-{}", std::process::id());
    let source = format!(
        "open('/tmp/{name}', 'w').write('x')\nopen('/dev/shm/{name}', 'w').write('x')\nimport os\nprint(os.listdir('/tmp'))"
    );
    for _ in 0..2 {
        prints(&source, &format!("['{name}']"));
    }
    assert!(!std::path::Path::new("/tmp").join(&name).exists());
    assert!(!std::path::Path::new("/dev/shm").join(&name).exists());
}

#[test]
fn files_are_limited() {
    prints(
        r"
def fill(folder, n):
    total = 0
    try:
        for i in range(n):
            with open(f'{folder}/{i}', 'wb') as f:
                for _ in range(32):
                    total += f.write(bytes(1 << 20))
    except OSError:
        pass
    return total >> 20
print(fill('/tmp', 20) <= 64, fill('/dev/shm', 20) <= 16)
def one():
    try:
        with open('/tmp/one', 'wb') as f:
            f.seek((64 << 20) - 1)
            f.write(b'xx')
            f.flush()
        return 'written'
    except OSError:
        return 'refused'
import os
for i in range(20):
    try: os.unlink(f'/tmp/{i}')
    except OSError: pass
print(one())
",
        "True True\nrefused",
    );
}

#[test]
fn a_flood_is_cut_off() {
    in_each("import os\nwhile True: os.write(1, b'x' * 65536)", "", |result, shown| {
        assert_eq!(result.status, Status::OutputExceeded, "{shown}");
        assert_eq!(result.stdout.len(), 1 << 20, "{shown}");
    });
    in_each("import os\nwhile True: os.write(2, b'x' * 65536)", "", |result, shown| {
        assert_eq!(result.status, Status::TimedOut, "{shown}");
        assert!(result.stderr.len() <= 64 << 10, "{shown}");
    });
}

#[test]
fn a_memory_bomb_is_contained() {
    in_each("x = []\nwhile True: x.append(bytearray(1 << 20))", "", |result, shown| {
        assert_eq!(result.status, Status::MemoryExceeded, "{shown}");
    });
    in_each("x = bytearray(10**12)", "", |result, shown| assert_eq!(result.status, Status::MemoryExceeded, "{shown}"));
    // Each child stays below the limit; together they do not.
    let many = "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n        x = bytearray(b'x' * (100 << 20))\n        time.sleep(9)\ntime.sleep(9)";
    in_each(many, "", |result, shown| assert_eq!(result.status, Status::MemoryExceeded, "{shown}"));
}

#[test]
fn time_is_limited() {
    let limits = Limits { wall: Duration::from_millis(1500), ..Limits::of_seconds(0.5) };
    for (sandbox, python) in sandboxes() {
        for (source, longest) in [
            ("while True: pass", 1400),
            ("import time\ntime.sleep(60)", 2500),
            ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", 1400),
            // The work is a grandchild's, whose parent is gone.
            (
                "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass\n    os._exit(0)\ntime.sleep(60)",
                2500,
            ),
        ] {
            let program = Program { file: "main.py", source, command: &python.command };
            let result = sandbox.run(&program, b"", &limits).unwrap();
            assert_eq!(result.status, Status::TimedOut, "{sandbox:?} {source}");
            assert!(result.wall_ms < longest + 1500, "{sandbox:?} {source}: {} ms", result.wall_ms);
        }
    }
}

#[test]
fn nothing_survives_the_program() {
    // The daemon would write to the pipe long after; the run must end with the program and take the daemon along.
    let source = r"
import os, time, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(30)
        os.write(1, b'survived')
    os._exit(0)
print('done')
sys.stdout.flush()
";
    let before = Instant::now();
    prints(source, "done");
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[test]
fn administrative_calls_are_denied() {
    prints(
        r"
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    return result >= 0
out = [name for name, arguments in [
    ('unshare', (0x10000000,)), ('setns', (0, 0)), ('mount', (b'x', b'/tmp', b'tmpfs', 0, None)),
    ('umount2', (b'/proc', 2)), ('chroot', (b'/tmp',)), ('ptrace', (16, 1, 0, 0)), ('sethostname', (b'x', 1)),
    ('personality', (0x0040000,)), ('setuid', (0,)), ('setgid', (0,)),
] if call(name, *arguments)]
if platform.machine() == 'x86_64':
    # clone3, bpf, userfaultfd, io_uring_setup, process_vm_readv, pidfd_getfd, perf_event_open
    out += [n for n in (435, 321, 323, 425, 310, 438, 298) if libc.syscall(n, 0, 0, 0, 0, 0, 0) >= 0]
    # clone with CLONE_NEWUSER
    out += ['clone'] if libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0 else []
print(out)
",
        "[]",
    );
}

/// Not a test of its own: the process that [`the_sandbox_dies_with_its_parent`] kills.
#[test]
fn parent_to_be_killed() {
    let Ok(choice) = std::env::var("RETORT_TEST_SANDBOX") else { return };
    let marker = std::env::var("RETORT_TEST_MARKER").unwrap();
    let (sandbox, mut python) =
        sandboxes().into_iter().find(|(sandbox, _)| format!("{sandbox:?}").contains(&*choice)).unwrap();
    python.command.push(marker);
    let program = Program { file: "main.py", source: "import time\ntime.sleep(60)", command: &python.command };
    let _ = sandbox.run(&program, b"", &Limits::of_seconds(60.0));
}

#[test]
fn the_sandbox_dies_with_its_parent() {
    // The executables that have the marker among their arguments: the program's, and before it bubblewrap's.
    let with_marker = |marker: &str| -> Vec<String> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        lines
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .filter(|line| line.contains(marker))
            .map(|line| line.split('\0').next().unwrap_or_default().to_owned())
            .collect()
    };
    let wait_for = |what: &dyn Fn(&[String]) -> bool, marker: &str| {
        let start = Instant::now();
        loop {
            let alive = with_marker(marker);
            if what(&alive) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "alive: {alive:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for (sandbox, _) in sandboxes() {
        let choice = match sandbox.isolation() {
            retort_verify::code::Isolation::Builtin { .. } => "Builtin",
            retort_verify::code::Isolation::Bubblewrap { .. } => "Bubblewrap",
        };
        let marker = format!("retort-marker-{choice}-{}", std::process::id());
        let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "parent_to_be_killed"])
            .env("RETORT_TEST_SANDBOX", choice)
            .env("RETORT_TEST_MARKER", &marker)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&|alive| alive.iter().any(|program| !program.ends_with("bwrap")), &marker);
        parent.kill().unwrap();
        parent.wait().unwrap();
        wait_for(&<[String]>::is_empty, &marker);
    }
}
