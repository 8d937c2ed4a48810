//! Why isolation is not possible here, and what would make it possible.

use std::fs;

use crate::code::CodeError;

/// The error for a sandbox that failed its trial with `symptom`.
pub(super) fn no_isolation(symptom: &str) -> CodeError {
    let (reason, fix) = if symptom.contains("source path") {
        (
            "bubblewrap, which root runs as `nobody`, cannot read a folder that programs need",
            "set `sandbox: builtin`, run as another user, or use a command outside of private folders",
        )
    } else {
        explain(|name| fs::read_to_string(format!("/proc/sys/{name}")).ok(), in_container())
    };
    CodeError::NoIsolation { reason: format!("{reason} ({symptom})"), fix: fix.into() }
}

/// Looks at the switches that are known to forbid user namespaces, in the order in which the kernel asks them.
fn explain(read: impl Fn(&str) -> Option<String>, in_container: bool) -> (&'static str, &'static str) {
    let is = |name: &str, value: &str| read(name).is_some_and(|text| text.trim() == value);
    if is("user/max_user_namespaces", "0") {
        ("unprivileged user namespaces are disabled", "run `sysctl -w user.max_user_namespaces=15000` as root")
    } else if is("kernel/unprivileged_userns_clone", "0") {
        ("unprivileged user namespaces are disabled", "run `sysctl -w kernel.unprivileged_userns_clone=1` as root")
    } else if is("kernel/apparmor_restrict_unprivileged_userns", "1") {
        (
            "AppArmor forbids unprivileged user namespaces",
            "load the AppArmor profile `bwrap-userns-restrict` and install bubblewrap, \
             or run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root",
        )
    } else if in_container {
        (
            "this container does not allow user namespaces",
            "start the container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined`",
        )
    } else {
        ("namespaces cannot be made here", "Linux 5.14 or newer with user namespaces is needed")
    }
}

fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| fs::exists(path).unwrap_or(false))
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_its_fix() {
        let with = |set: &'static str, value: &'static str| {
            explain(move |name| (name == set).then(|| format!("{value}\n")), false)
        };
        assert!(with("user/max_user_namespaces", "0").1.contains("user.max_user_namespaces"));
        assert!(with("kernel/unprivileged_userns_clone", "0").1.contains("unprivileged_userns_clone=1"));
        assert!(with("kernel/apparmor_restrict_unprivileged_userns", "1").0.contains("AppArmor"));
        assert!(explain(|_| None, true).1.contains("seccomp=unconfined"));
        assert!(explain(|_| None, false).1.contains("5.14"));
    }
}
