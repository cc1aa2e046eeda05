//! Datagrams that came in pieces (RFC 791, RFC 8200). As many are put together at once as there is room for; pieces
//! that overlap are an attack, and end their datagram (RFC 5722).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::packet::{Fragment, Ip, MOST_PACKET};
use crate::platform::Instant;

/// Most datagrams that are put together at once. The oldest makes room.
const MOST: usize = 32;
/// Most pieces of one.
const MOST_PIECES: usize = 64;
/// How long all pieces may take (net.ipv4.ipfrag_time).
const LIFE: Duration = Duration::from_secs(30);

/// A datagram that is not whole.
struct Partial {
    key: (IpAddr, IpAddr, u8, u32),
    began: Instant,
    /// Where each piece begins, and what it holds.
    pieces: Vec<(usize, Vec<u8>)>,
    /// How long the datagram is, once its last piece is here.
    len: Option<usize>,
}

/// Those that are not whole, the oldest first.
#[derive(Default)]
pub(super) struct Pieces(VecDeque<Partial>);

impl Pieces {
    /// Adds a piece; the payload of the datagram, when it is the last one.
    pub fn add(&mut self, ip: &Ip, fragment: Fragment, bytes: &[u8], now: Instant) -> Option<Vec<u8>> {
        while self.0.front().is_some_and(|first| now.saturating_since(first.began) > LIFE) {
            self.0.pop_front();
        }
        let key = (ip.from, ip.to, ip.protocol, fragment.id);
        let known = self.0.iter().position(|partial| partial.key == key);
        if known.is_none() {
            if self.0.len() >= MOST {
                self.0.pop_front();
            }
            self.0.try_reserve(1).ok()?;
            self.0.push_back(Partial { key, began: now, pieces: Vec::new(), len: None });
        }
        let at = known.unwrap_or(self.0.len() - 1);
        match self.0.get_mut(at)?.add(fragment, bytes) {
            Ok(false) => None,
            Ok(true) => self.0.remove(at).and_then(Partial::whole),
            Err(Broken) => {
                self.0.remove(at);
                None
            }
        }
    }
}

/// Pieces do not fit together.
struct Broken;

impl Partial {
    /// Whether it is whole now.
    fn add(&mut self, fragment: Fragment, bytes: &[u8]) -> Result<bool, Broken> {
        let end = fragment.offset.checked_add(bytes.len()).filter(|end| *end <= MOST_PACKET).ok_or(Broken)?;
        let uneven = fragment.more && (bytes.len() % 8 != 0 || bytes.is_empty());
        if uneven || self.len.is_some_and(|len| end > len) || self.pieces.len() >= MOST_PIECES {
            return Err(Broken);
        }
        if self.pieces.iter().any(|(start, piece)| *start == fragment.offset && piece == bytes) {
            // It came twice.
            return Ok(false);
        }
        let overlaps = |(start, piece): &(usize, Vec<u8>)| *start < end && fragment.offset < start + piece.len();
        if self.pieces.iter().any(overlaps) {
            return Err(Broken);
        }
        if !fragment.more {
            if self.len.is_some() || self.pieces.iter().any(|(start, piece)| start + piece.len() > end) {
                return Err(Broken);
            }
            self.len = Some(end);
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| Broken)?;
        copy.extend_from_slice(bytes);
        self.pieces.try_reserve(1).map_err(|_| Broken)?;
        self.pieces.push((fragment.offset, copy));
        let held: usize = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        Ok(self.len == Some(held))
    }
    fn whole(mut self) -> Option<Vec<u8>> {
        self.pieces.sort_by_key(|(start, _)| *start);
        let mut all = Vec::new();
        all.try_reserve_exact(self.len?).ok()?;
        self.pieces.iter().for_each(|(_, piece)| all.extend_from_slice(piece));
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn ip() -> Ip {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 0, 0, 2).into());
        Ip { from, to, protocol: 17, ttl: 64, tos: 0, fragment: None }
    }

    #[test]
    fn pieces_in_any_order_make_the_datagram() {
        let bytes: Vec<u8> = (0..60).collect();
        let mut pieces = Pieces::default();
        let mut add = |offset: usize, end: usize, more| {
            pieces.add(&ip(), Fragment { id: 7, offset, more }, &bytes[offset..end], Instant(0))
        };
        assert_eq!(add(48, 60, false), None);
        assert_eq!(add(0, 24, true), None);
        assert_eq!(add(0, 24, true), None);
        assert_eq!(add(24, 48, true), Some(bytes.clone()));
    }

    #[test]
    fn pieces_that_overlap_end_their_datagram() {
        let mut pieces = Pieces::default();
        let mut add =
            |offset, len, more| pieces.add(&ip(), Fragment { id: 7, offset, more }, &alloc::vec![0; len], Instant(0));
        assert_eq!(add(0, 24, true), None);
        assert_eq!(add(16, 24, true), None);
        // The datagram begins anew with this one.
        assert_eq!(add(24, 8, false), None);
        assert_eq!(add(65_528, 24, false), None);
        assert_eq!(add(0, 7, true), None);
    }

    #[test]
    fn old_ones_and_many_make_room() {
        let mut pieces = Pieces::default();
        for id in 0..1000 {
            pieces.add(&ip(), Fragment { id, offset: 0, more: true }, &[0; 8], Instant(0));
        }
        assert_eq!(pieces.0.len(), MOST);
        pieces.add(&ip(), Fragment { id: 1, offset: 0, more: true }, &[0; 8], Instant(31_000_000_000));
        assert_eq!(pieces.0.len(), 1);
    }
}
