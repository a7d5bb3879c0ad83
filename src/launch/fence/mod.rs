//! The fence: what pyw enforces itself, from outside the runtime, on the host's system.
//!
//! One file a system. Each says what it can do ([`abilities`]), which the planner uses, and
//! prepares a confinement that the runtime's process puts on itself before it becomes the runtime
//! ([`Prepared`]). A fence is whole or refused; there is no best effort.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod metadata;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
pub use linux::{Prepared, abilities};
#[cfg(target_os = "linux")]
pub use mounts::{Limited, drop_privileges, limit, own_mounts};

#[cfg(not(target_os = "linux"))]
mod none;
#[cfg(not(target_os = "linux"))]
pub use none::{Limited, Prepared, abilities, drop_privileges, limit, own_mounts};
