//! Pods: containers that an engine puts into the sandbox of the pod's first container.
//!
//! Engines say it by annotations. The first container ("sandbox", which runs a program that only waits) is a sandbox as
//! any other; further ones join it, where they have its network.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::Spec;
use super::container::{self, Container, Status};
use super::linux::Network;

/// What a container is in its pod, and which pod that is: the names of annotations by engine.
const ANNOTATIONS: [(&str, &str); 2] = [
    // containerd
    ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"),
    // CRI-O and podman
    ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"),
];
const FIRST: &str = "sandbox";
const FURTHER: &str = "container";

/// The first container of a pod.
#[derive(Serialize, Deserialize)]
pub struct Pod {
    /// Where it is kept.
    pub directory: PathBuf,
    /// Its process.
    pub pid: i32,
}

/// The pod whose container of this kind the annotations are of.
fn pod<'a>(annotations: &'a BTreeMap<String, String>, wanted: &str) -> Option<&'a str> {
    ANNOTATIONS.iter().find_map(|(kind, id)| {
        let is_wanted = annotations.get(*kind).is_some_and(|kind| kind == wanted);
        annotations.get(*id).filter(|_| is_wanted).map(String::as_str)
    })
}

/// The first container of the pod that a further one is of. `None`: it is in no pod of this runtime, or shares neither
/// network nor fate with it.
pub fn first_of(root: &Path, spec: &Spec) -> Option<Pod> {
    let id = pod(&spec.annotations, FURTHER)?;
    let named = Container::open(root, id).ok();
    let first = named.or_else(|| {
        // An id of the pod, and not of its first container.
        let is_first = |container: &Container| pod(&container.record.annotations, FIRST) == Some(id);
        container::all(root).into_iter().find(is_first)
    })?;
    let theirs = Spec::read(&first.record.bundle).ok()?;
    let runs = matches!(first.status(), Status::Running | Status::Paused);
    let pid = first.record.pid;
    (runs && has_network_of(spec, &theirs, pid)).then_some(Pod { directory: first.directory, pid })
}

/// Whether a container has the network of the pod's first, whose process is `pid`: by the same name, or in its
/// namespace.
fn has_network_of(spec: &Spec, first: &Spec, pid: i32) -> bool {
    let inode = |path: &Path| std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    match (spec.network(), first.network()) {
        (Network::Host, Network::Host) => true,
        (Network::Namespace(own), Network::Namespace(theirs)) if own == theirs => true,
        (Network::Namespace(own), _) => {
            let theirs = inode(format!("/proc/{pid}/ns/net").as_ref());
            theirs.is_some() && inode(own) == theirs
        }
        _ => false,
    }
}
