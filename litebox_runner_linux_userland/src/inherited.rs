//! Resource limits that litebox was started under (getrlimit(2)).
//!
//! A sandbox needs something of them that its program knows nothing of: the kernel's heap is a large sparse file in
//! memory, each process of the guest costs a descriptor. A soft limit that is too low is raised, and the program starts
//! with the one that was inherited, as it would anywhere. A hard limit that is too low is said in one line.

use std::sync::OnceLock;

use litebox_platform_linux_userland::needs;
use litebox_shim_linux::syscalls::limits::INITIAL;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Of each process, besides the kernel's: what a small program has.
const PROGRAM_ADDRESSES: u64 = 256 << 20;
const LEAST_DATA: u64 = 16 << 20;
/// The reading of options, and the supervisor, which makes large objects on its stack before it moves them.
const LEAST_STACK: u64 = 512 << 10;
/// The broker's own, and a few dozen processes.
const LEAST_DESCRIPTORS: u64 = 256;

/// One limit, and what is needed of it.
struct Claim {
    resource: Resource,
    /// Its number (getrlimit(2)).
    number: u32,
    /// What it bounds.
    what: &'static str,
    /// How a shell names it.
    option: char,
    least: u64,
    /// Whether it counts bytes.
    bytes: bool,
}

impl Claim {
    /// Raises the soft limit where it is too low. What the program starts with, when that is less than usual.
    fn make(&self) -> Result<Option<(u32, u64, u64)>, String> {
        let found = getrlimit(self.resource);
        let (soft, hard) = (found.current.unwrap_or(u64::MAX), found.maximum.unwrap_or(u64::MAX));
        if hard < self.least {
            return Err(self.refusal(hard));
        }
        if soft < self.least {
            let raised = Rlimit { current: Some(self.least), maximum: found.maximum };
            setrlimit(self.resource, raised).map_err(|_| self.refusal(soft))?;
        }
        let usual = INITIAL.get(self.number as usize).ok_or("no such limit")?;
        let bound = (soft.min(usual.soft), hard.min(usual.hard));
        Ok((bound != (usual.soft, usual.hard)).then_some((self.number, bound.0, bound.1)))
    }

    fn refusal(&self, limit: u64) -> String {
        let Self { what, option, least, .. } = self;
        let shown = |amount: u64| if self.bytes { in_bytes(amount) } else { amount.to_string() };
        format!(
            "cannot start a sandbox: the limit of {what} (ulimit -{option}) is {}, and {} are needed",
            shown(limit),
            shown(*least)
        )
    }
}

/// Bytes, rounded up to the largest unit that fits.
fn in_bytes(amount: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let fits = units.into_iter().find(|(shift, _)| amount >> shift > 0);
    fits.map_or(format!("{amount} bytes"), |(shift, unit)| format!("{} {unit}", amount.div_ceil(1 << shift)))
}

/// What [`claim_stack`] found: the program starts with that.
static STACK_FOUND: OnceLock<Option<(u32, u64, u64)>> = OnceLock::new();

/// For the start of this process: reading options takes some stack, and whoever has less gets that.
pub fn claim_stack() -> Result<(), String> {
    let found = stack().make()?;
    STACK_FOUND.get_or_init(|| found);
    Ok(())
}

fn stack() -> Claim {
    Claim { resource: Resource::Stack, number: 3, what: "stacks", option: 's', least: LEAST_STACK, bytes: true }
}

/// Claims what a sandbox with an arena of so many bytes needs. The limits that its program inherits: number, soft and
/// hard one.
pub fn claim(arena_size: u64) -> Result<Vec<(u32, u64, u64)>, String> {
    let needs = needs(arena_size);
    let bytes = |resource, number, what, option, least| Claim { resource, number, what, option, least, bytes: true };
    let claims = [
        bytes(Resource::Fsize, 1, "file sizes", 'f', needs.file_size),
        bytes(Resource::Data, 2, "data", 'd', LEAST_DATA),
        Claim {
            resource: Resource::Nofile,
            number: 7,
            what: "open files",
            option: 'n',
            least: LEAST_DESCRIPTORS,
            bytes: false,
        },
        bytes(Resource::As, 9, "addresses", 'v', needs.addresses + PROGRAM_ADDRESSES),
    ];
    let found = claims.iter().filter_map(|claim| claim.make().transpose());
    found.chain(STACK_FOUND.get().copied().flatten().map(Ok)).collect()
}

#[cfg(test)]
mod tests {
    use super::in_bytes;

    #[test]
    fn amounts_are_rounded_up() {
        assert_eq!(in_bytes(0), "0 bytes");
        assert_eq!(in_bytes(1025), "2 KiB");
        assert_eq!(in_bytes(16 << 30), "16 GiB");
    }
}
