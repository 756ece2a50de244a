//! Keeps secrets out of core dumps.
//!
//! Owns one call for the start of the program. Does not lock memory: swap is the host's business.
//! That no other process may attach is a promise of Linux alone.

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Makes this process leave no core dump, and on Linux keeps other processes of the same user from
/// attaching to it. To be called first thing, before any secret is read.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?;
    #[cfg(target_os = "linux")]
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_no_core_dump_can_be_written() {
        forbid_core_dumps().expect("the kernel agrees");
        let limit = rustix::process::getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        assert!(matches!(
            rustix::process::dumpable_behavior(),
            Ok(DumpableBehavior::NotDumpable)
        ));
    }
}
