//! The system-call filter: what no graded program needs and a kernel exploit may want.
//!
//! A list of denials rather than of permissions: the command may be any language's, and a runtime that misses one call
//! fails in ways that look like a wrong answer. The namespaces and mounts are the wall; this is the second one.

use std::collections::BTreeMap;

use libc::sock_filter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Denied whatever the arguments: each returns `EPERM`.
const DENIED: &[i64] = &[
    // Other processes' memory and files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Namespaces, mounts and roots.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_personality,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Time and names.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Memory that no process maps, or that the kernel holds: no limit of ours counts it. POSIX shared memory and
    // semaphores are files in `/dev/shm`, which has a size.
    libc::SYS_memfd_create,
    MEMFD_SECRET,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
];

/// `memfd_secret`, which has the same number everywhere.
const MEMFD_SECRET: i64 = 447;

/// Flags of `clone` that make namespaces.
const NEW_NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Compiles the filter for this machine; `None` where the architecture is unknown to the compiler.
pub(super) fn filter() -> Option<Vec<sock_filter>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|&call| (call, Vec::new())).collect();
    let rule = |argument, op, value: i64| {
        SeccompRule::new(vec![SeccompCondition::new(argument, Len::Dword, op, value as u64).ok()?]).ok()
    };
    // Sockets only among the program's own processes (asyncio and multiprocessing want pairs).
    let not_local = rule(0, Op::Ne, libc::AF_UNIX.into())?;
    rules.insert(libc::SYS_socket, vec![not_local]);
    let namespaces = NEW_NAMESPACES.iter().map(|&flag| rule(0, Op::MaskedEq(flag as u64), flag.into()));
    rules.insert(libc::SYS_clone, namespaces.collect::<Option<_>>()?);
    // Typing into the terminal that started the run.
    rules.insert(libc::SYS_ioctl, vec![rule(1, Op::Eq, libc::TIOCSTI as i64)?, rule(1, Op::Eq, 0x541C)?]);

    let architecture = std::env::consts::ARCH.try_into().ok()?;
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let compiled: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture).ok()?.try_into().ok()?;

    let mut program = prologue();
    program.extend(compiled.iter().map(|step| sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k }));
    Some(program)
}

/// What the compiler cannot say. `clone3` hides its flags behind a pointer: "no such call" makes the C library fall
/// back to `clone`. On x86-64 the numbers from 2^30 up are the same calls under another name (x32): none of them.
fn prologue() -> Vec<sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let no_such_call = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let mut program = vec![
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 }, // offset 0 of `seccomp_data` is the number of the call
        sock_filter { code: EQUAL, jt: 0, jf: 1, k: libc::SYS_clone3 as u32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: no_such_call },
    ];
    if cfg!(target_arch = "x86_64") {
        program.push(sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: 0x4000_0000 });
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: no_such_call });
    }
    program
}
