//! The bounds that the kernel enforces: resource limits of the process, and Landlock for the thread that starts the program.
//!
//! Both are set in a process of their own before the program begins, so that nothing here needs code between fork and exec.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::protocol::{Confinement, Limits, Places};

/// Bounds this process and all that it starts. Tasks that the user runs already do not count.
pub(super) fn limit(limits: &Limits, tasks_of_user: u64) -> io::Result<()> {
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, limits.file_bytes_max)?;
    lower(Resource::Nofile, limits.open_files_max)?;
    // Address space would stop programs that reserve much and use little (node, java, go); data does not.
    lower(Resource::Data, limits.memory_bytes_max)?;
    lower(Resource::Nproc, tasks_of_user.saturating_add(limits.processes_max))
}

/// Sets both limits, or leaves a lower one as it is.
fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let to = now.maximum.map_or(to, |maximum| maximum.min(to));
    setrlimit(resource, Rlimit { current: Some(to), maximum: Some(to) }).map_err(io::Error::from)
}

/// Keeps the calling thread, and what it starts, to `places`, and from gaining rights by exec.
#[cfg(target_os = "linux")]
pub(super) fn restrict(places: &Places) -> Result<Confinement, String> {
    use landlock::{
        ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
        path_beneath_rules,
    };
    // The newest that was tested; older kernels enforce the part that they know.
    const TESTED: ABI = ABI::V6;
    drop_rights();
    rustix::thread::set_no_new_privs(true).map_err(|errno| format!("no_new_privs: {errno}"))?;
    let said = |error: landlock::RulesetError| format!("landlock: {error}");
    // A device made in the step's own folder would be a door to the whole disk.
    let writing = AccessFs::from_all(TESTED) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TESTED))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(TESTED)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(&places.read, AccessFs::from_read(TESTED))))
        .and_then(|rules| rules.add_rules(path_beneath_rules(&places.list, AccessFs::ReadDir)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(&places.write, writing)))
        .and_then(|rules| rules.restrict_self())
        .map_err(said)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Full,
        RulesetStatus::PartiallyEnforced => Confinement::Partial,
        RulesetStatus::NotEnforced => Confinement::Unavailable,
    })
}

/// Where the agent runs as root, its steps do not get what would lead round the confinement: other processes' memory and
/// environment, raw disks, files by handle, higher limits.
#[cfg(target_os = "linux")]
fn drop_rights() {
    use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
    let dropped = [
        CapabilitySet::SYS_ADMIN,
        CapabilitySet::SYS_PTRACE,
        CapabilitySet::SYS_MODULE,
        CapabilitySet::SYS_RAWIO,
        CapabilitySet::SYS_RESOURCE,
        CapabilitySet::SYS_BOOT,
        CapabilitySet::DAC_READ_SEARCH,
        CapabilitySet::MKNOD,
        CapabilitySet::PERFMON,
        CapabilitySet::BPF,
        CapabilitySet::CHECKPOINT_RESTORE,
    ];
    for capability in dropped {
        // Any other user has none of them, and may not drop what it does not have.
        let _not_root = remove_capability_from_bounding_set(capability);
    }
}

/// Other systems have nothing of the kind.
#[cfg(not(target_os = "linux"))]
pub(super) fn restrict(_places: &Places) -> Result<Confinement, String> {
    Ok(Confinement::Unavailable)
}
