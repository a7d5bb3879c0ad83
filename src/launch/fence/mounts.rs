//! Mounts that only this run sees (mount namespaces): a folder gets a file system in memory with
//! room for so many bytes, and goes with the run.
//!
//! Mounting is root's privilege. Without it, pyw first makes a user namespace, in which it has the
//! privilege over its own mounts alone and stays the same user to all files. Kernels can forbid that to
//! users, and containers do.

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities};

use crate::plan::Abilities;

/// How pyw came by mounts of its own, once it was asked to.
static OWN: OnceLock<Result<Means, String>> = OnceLock::new();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// It had the privilege.
    Privilege,
    /// In a user namespace, where it has all privileges over nothing but that.
    UserNamespace,
}

/// Gives pyw, and all that it starts from here on, mounts of its own: to be called before pyw has
/// other threads, for then the kernel refuses.
#[must_use]
pub fn own_mounts() -> Abilities {
    match OWN.get_or_init(separate) {
        Ok(_) => Abilities::Available("fence (tmpfs in a mount namespace)".into()),
        Err(reason) => Abilities::Missing(reason.clone()),
    }
}

fn separate() -> Result<Means, String> {
    let failed = |step: &'static str| {
        move |e: Errno| format!("this system lets pyw have no mounts of its own: {step}: {e}")
    };
    let means = match unshare(UnshareFlags::NEWNS) {
        Ok(()) => Means::Privilege,
        Err(Errno::PERM) => {
            // Asked now: inside, before the numbers are mapped, they are all nobody's.
            let user = rustix::process::geteuid().as_raw();
            let group = rustix::process::getegid().as_raw();
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|e| match e {
                Errno::NOSPC => "this system allows no more user namespaces \
                                 (sysctl user.max_user_namespaces)"
                    .to_owned(),
                other => failed("user namespace")(other),
            })?;
            let tell = |file: &str, text: String| {
                let path = format!("/proc/self/{file}");
                std::fs::write(&path, text).map_err(|e| {
                    format!("this system lets pyw have no mounts of its own: {path}: {e}")
                })
            };
            tell("setgroups", "deny".into())?;
            tell("uid_map", format!("{user} {user} 1"))?;
            tell("gid_map", format!("{group} {group} 1"))?;
            Means::UserNamespace
        }
        Err(e) => return Err(failed("mount namespace")(e)),
    };
    // What is mounted outside later still arrives; what is mounted here does not leave.
    let inwards = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
    mount_change("/", inwards).map_err(failed("mounts"))?;
    Ok(means)
}

fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: unsafe for the sake of descriptor tables alone, which are not touched.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Gives up, in a process that is about to become a runtime, the privileges that a user namespace
/// brought. Whoever had them before keeps them.
///
/// # Errors
/// The kernel does not take them back.
pub fn drop_privileges() -> std::io::Result<()> {
    if OWN.get() == Some(&Ok(Means::UserNamespace)) {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, none)?;
    }
    Ok(())
}

/// A folder with a size. Dropping it leaves the empty folder that it was.
#[derive(Debug)]
pub struct Limited(Utf8PathBuf);

impl Drop for Limited {
    fn drop(&mut self) {
        // Whatever is open in it goes when it is closed.
        let _ = unmount(self.0.as_std_path(), UnmountFlags::DETACH);
    }
}

/// Gives an empty folder room for so many bytes. Files without content count as well, a page each.
///
/// # Errors
/// [`own_mounts`] was not called or failed; the kernel does not mount it.
pub fn limit(folder: &Utf8Path, bytes: u64) -> std::io::Result<Limited> {
    if !matches!(OWN.get(), Some(Ok(_))) {
        return Err(std::io::Error::other("pyw has no mounts of its own"));
    }
    // Each name costs the kernel memory that `size` does not cover.
    let names = (bytes / 4096).max(64);
    let options = format!("size={bytes},nr_inodes={names},mode=700");
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(
        "pyw",
        folder.as_std_path(),
        "tmpfs",
        flags,
        options.as_c_str(),
    )?;
    Ok(Limited(folder.to_owned()))
}
