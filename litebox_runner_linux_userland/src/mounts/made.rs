//! Files of /etc that are the sandbox's own: it has another name than the host, and may have other name servers.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use litebox_shim_linux::boot::{MountPlan, MountSpec, Source};

use super::mount;
use crate::network;
use crate::options::process::ProcessOptions;

/// What they say.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub hostname: String,
    /// Addresses of that name: those of the sandbox's network, or of its loopback where it has none.
    pub addresses: Vec<IpAddr>,
    /// Lines of /etc/hosts.
    pub hosts: Vec<String>,
    /// /etc/resolv.conf, unless it is the host's.
    pub resolver: Option<String>,
}

impl Names {
    /// As the options have them.
    pub fn of(options: &ProcessOptions, servers: &[String], addresses: Vec<IpAddr>) -> Self {
        let hosts = options.add_host.iter().map(|host| format!("{}\t{}", host.address, host.name)).collect();
        Self { hostname: options.hostname.clone(), addresses, hosts, resolver: resolver(options, servers) }
    }
    /// Mounts them over the files of the host or of the `rootfs`, which the sandbox sees as `/`. Files that are missing
    /// stay so.
    pub fn add_to(&self, mounts: &mut MountPlan, rootfs: Option<&Path>) -> Result<Vec<MountSpec>, String> {
        let root = rootfs.unwrap_or(Path::new("/"));
        let before = std::fs::read_to_string(root.join("etc/hosts")).ok().filter(|_| rootfs.is_none());
        let hosts = hosts(before.as_deref(), &rustix::system::uname().nodename().to_string_lossy(), self);
        let mut files = vec![("etc/hosts", Some(hosts)), ("etc/hostname", Some(format!("{}\n", self.hostname)))];
        files.push(("etc/resolv.conf", self.resolver.clone()));
        let mut made = Vec::new();
        for (name, content) in files {
            let Some(content) = content else { continue };
            if !is_plain_directory(&root.join("etc")) || rootfs.is_none() && !root.join(name).is_file() {
                if name == "etc/resolv.conf" || name == "etc/hosts" && !self.hosts.is_empty() {
                    return Err(format!("there is no /{name} that --dns or --add-host could change"));
                }
                continue;
            }
            let number = mounts.texts.len() as u32;
            mounts.texts.push(content.into_bytes());
            made.push(mount(PathBuf::from("/").join(name), Source::Text(number), false));
        }
        Ok(made)
    }
}

fn is_plain_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// The host's lines, without the name of the host, or those that every machine has; then the sandbox's name, then what
/// was asked for.
fn hosts(before: Option<&str>, host: &str, names: &Names) -> String {
    const USUAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
    let mut out = String::new();
    for line in before.unwrap_or(USUAL).lines() {
        let is_own = |word: &&str| *word == host || word.strip_prefix(host).is_some_and(|rest| rest.starts_with('.'));
        let (entry, _) = line.split_once('#').unwrap_or((line, ""));
        if host == "localhost" || !entry.split_whitespace().skip(1).any(|word| is_own(&word)) {
            let _ = writeln!(out, "{line}");
            continue;
        }
        let kept: Vec<&str> = entry.split_whitespace().filter(|word| !is_own(word)).collect();
        if let [address, rest @ ..] = kept.as_slice() {
            if !rest.is_empty() {
                let _ = writeln!(out, "{address}\t{}", rest.join(" "));
            }
        }
    }
    for address in &names.addresses {
        let _ = writeln!(out, "{address}\t{}", names.hostname);
    }
    for line in &names.hosts {
        let _ = writeln!(out, "{line}");
    }
    out
}

fn resolver(options: &ProcessOptions, servers: &[String]) -> Option<String> {
    if servers.is_empty() && options.dns_search.is_empty() && options.dns_option.is_empty() {
        return None;
    }
    let mut out = String::new();
    for server in servers.iter().filter_map(|text| network::parse_server(text).ok()) {
        let _ = writeln!(out, "nameserver {}", server.ip());
    }
    if servers.is_empty() {
        let before = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        for line in before.lines().filter(|line| line.starts_with("nameserver")) {
            let _ = writeln!(out, "{line}");
        }
    }
    // A single dot means none, as `docker run` has it.
    let search: Vec<&str> = options.dns_search.iter().map(String::as_str).filter(|domain| *domain != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(out, "search {}", search.join(" "));
    }
    if !options.dns_option.is_empty() {
        let _ = writeln!(out, "options {}", options.dns_option.join(" "));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Names, hosts};

    #[test]
    fn the_name_of_the_host_gives_way_to_that_of_the_sandbox() {
        let names = Names {
            hostname: "box".into(),
            addresses: vec![std::net::Ipv4Addr::new(10, 0, 2, 15).into()],
            hosts: vec!["10.0.0.5\tdb".into()],
            resolver: None,
        };
        let before = "127.0.0.1 localhost\n127.0.1.1 secret.example secret\n10.1.1.1 shared secret # both\n# kept\n";
        let expected = "127.0.0.1 localhost\n10.1.1.1\tshared\n# kept\n10.0.2.15\tbox\n10.0.0.5\tdb\n";
        assert_eq!(hosts(Some(before), "secret", &names), expected);
        assert!(hosts(None, "secret", &names).starts_with("127.0.0.1\tlocalhost\n"));
    }
}
