//! What a datagram socket has received and not yet read, and the errors that what it sent led to.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::net::{PacketInfo, QueuedError};

/// The most errors that wait.
const MOST_ERRORS: usize = 64;
/// As much of a datagram comes with its error.
const MOST_RETURNED: usize = 548;

/// A datagram.
pub(super) struct Packet {
    pub bytes: Vec<u8>,
    pub from: SocketAddr,
    pub info: PacketInfo,
}

impl Packet {
    fn cost(&self) -> usize {
        crate::net::account::datagram(self.bytes.len(), self.from.is_ipv6())
    }
}

#[derive(Default)]
pub(super) struct Incoming {
    pub packets: VecDeque<Packet>,
    held: usize,
    /// Datagrams that found no room.
    pub lost: u32,
    pub errors: VecDeque<(QueuedError, SocketAddr, Vec<u8>)>,
}

impl Incoming {
    /// What the datagrams cost.
    pub fn held(&self) -> usize {
        self.held
    }
    /// Adds a datagram where all may cost as much as `limit`; whether there was room.
    pub fn add(&mut self, packet: Packet, limit: usize) -> bool {
        let cost = packet.cost();
        // As on Linux, one always has room in an empty queue.
        let full = self.held > 0 && self.held.saturating_add(cost) > limit;
        if full || self.packets.try_reserve(1).is_err() {
            self.lost = self.lost.wrapping_add(1);
            return false;
        }
        self.held += cost;
        self.packets.push_back(packet);
        true
    }
    /// Takes the first one away.
    pub fn pop(&mut self) {
        if let Some(packet) = self.packets.pop_front() {
            self.held -= packet.cost().min(self.held);
        }
        if self.packets.is_empty() {
            // Nothing is kept for an idle socket.
            self.packets = VecDeque::new();
        }
    }
    pub fn add_error(&mut self, error: QueuedError, to: SocketAddr, bytes: &[u8]) {
        if self.errors.len() < MOST_ERRORS {
            let returned = bytes.get(..bytes.len().min(MOST_RETURNED)).unwrap_or_default();
            self.errors.push_back((error, to, returned.to_vec()));
        }
    }
}
