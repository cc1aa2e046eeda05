//! Options of TCP, IP and their kin that are more than one number kept.

use litebox::Result;
use litebox::net::{Setting, Socket};

use super::{ENOPROTOOPT, Given, IPPROTO_IP, Value, change, number, table};
use crate::Task;

pub(super) const SOL_NETLINK: i32 = 270;

/// The number of the loopback device.
pub(super) const LOOPBACK: i32 = 1;

/// The number of a network device.
pub(super) fn interface_of(name: &[u8]) -> Option<i32> {
    (name == b"lo").then_some(LOOPBACK)
}

/// The name of a network device, with its zero; nothing of none.
pub(super) fn interface_name(index: i32) -> &'static [u8] {
    if index == LOOPBACK { b"lo\0" } else { b"" }
}

impl Task<'_, '_> {
    pub(super) fn set_inet(socket: &dyn Socket, level: i32, name: i32, given: &Given) -> Result<()> {
        let row = table::find(socket, level, name)?.ok_or(ENOPROTOOPT)?;
        let value = if level == IPPROTO_IP { given.short_number()? } else { given.number()? };
        change(socket, row.setting, row.kept(value)?);
        Ok(())
    }

    pub(super) fn inet_value(socket: &dyn Socket, level: i32, name: i32, room: usize) -> Result<Value> {
        let row = table::find(socket, level, name)?.ok_or(ENOPROTOOPT)?;
        let value = socket.options().get(row.setting);
        let value = match (row.setting, value) {
            (Setting::Ttl | Setting::UnicastHops, -1) => 64,
            (Setting::TrafficClass, -1) => 0,
            (Setting::MulticastTtl | Setting::MulticastHops, -1) => 1,
            (_, value) => value,
        };
        // One byte, for who has room for no more.
        if matches!(level, IPPROTO_IP) && (1..4).contains(&room) && (0..=255).contains(&value) {
            return Ok(Value::from_slice(&[value as u8]));
        }
        Ok(number(value))
    }
}
