//! What `docker diff` prints: `A` for what is new, `C` for what changed, `D` for what is gone, and the path.
//!
//! Docker looks at the upper directory of an overlay file system, and so lists a directory that was removed and made
//! again as gone. Here it is changed, and what is no longer in it is gone. A directory that is told for nothing but an
//! entry that came or went is listed, as there.

use std::io::{self, Read};

use litebox_protocol::layer::Kind;

use crate::read::{Item, Layer};
use crate::stream::{Entry, Taker};
use crate::{OPAQUE, WHITEOUT, join, split};

/// Most bytes of a listing.
const MOST: usize = 16 << 20;

/// Lines of a listing.
#[derive(Default)]
pub struct Listing {
    text: Vec<u8>,
    /// Lines that found no room.
    more: u64,
}

impl Listing {
    fn add(&mut self, letter: u8, path: &[u8]) {
        if self.text.len() + path.len() > MOST {
            self.more += 1;
            return;
        }
        self.text.extend_from_slice(&[letter, b' ', b'/']);
        // One line is one name, whatever it holds.
        self.text.extend(path.iter().map(|byte| if *byte == b'\n' { b'?' } else { *byte }));
        self.text.push(b'\n');
    }

    /// The lines.
    pub fn finish(mut self) -> Vec<u8> {
        if self.more > 0 {
            self.text.extend_from_slice(format!("({} more)\n", self.more).as_bytes());
        }
        self.text
    }
}

impl Taker for Listing {
    fn tree(&mut self, _at: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn change(&mut self, kind: Kind, entry: &Entry, _bytes: &mut dyn Read) -> io::Result<()> {
        let letter = match kind {
            Kind::Removed => b'D',
            _ if entry.existed => b'C',
            _ => b'A',
        };
        self.add(letter, &entry.path);
        Ok(())
    }
}

/// The listing of a layer. Where it does not tell what was new, `exists` says what was there before.
pub fn of_layer(layer: &mut Layer<'_>, exists: &dyn Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let mut listing = Listing::default();
    while let Some(Item { path, added, .. }) = layer.next_item()? {
        let (dir, name) = split(&path);
        match name.strip_prefix(WHITEOUT) {
            _ if path.is_empty() || name == OPAQUE => {}
            Some(gone) => listing.add(b'D', &join(dir, gone)),
            None => {
                let is_new = added.unwrap_or_else(|| !exists(&path));
                listing.add(if is_new { b'A' } else { b'C' }, &path);
            }
        }
    }
    Ok(listing.finish())
}
