//! What a program changed in copy-on-write trees, as a layer of an image (OCI image specification, "Image Layer
//! Filesystem Changeset"): a tar archive in which `.wh.NAME` says that NAME is gone, and `.wh..wh..opq` that nothing is
//! left of what a directory held.
//!
//! - [`stream`] takes what a sandbox tells (`litebox_protocol::layer`), and believes none of it; [`pipe`] waits for it.
//! - [`archive`] writes a layer, [`read`] takes one apart, [`pax`] are its extended headers.
//! - [`target`] is the file it is written to, which is there whole or not at all.
//! - [`apply`] brings a layer onto a directory, and [`beneath`] keeps it there.
//! - [`listing`] is what `docker diff` prints of it.

pub mod apply;
pub mod archive;
pub mod beneath;
pub mod listing;
pub mod pax;
pub mod pipe;
pub mod read;
pub mod stream;
pub mod target;

/// In front of the name of what is gone.
pub const WHITEOUT: &[u8] = b".wh.";
/// The name that says that nothing is left of what its directory held.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// Whether a path can be one in a layer: components joined by single slashes, none of them `.` or `..`, no zero bytes,
/// and none that says something else in a layer.
pub fn is_plain(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| {
        !name.is_empty() && name != b"." && name != b".." && name.len() <= 255 && !name.starts_with(WHITEOUT)
    };
    !path.contains(&0) && path.split(|byte| *byte == b'/').all(is_name)
}

/// A path without its last component, and that.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// A path in a directory, which may be the one at the top.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, name].join(&b'/') }
}
