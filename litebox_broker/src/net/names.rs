//! Which names were answered with which addresses: a connection to an address passes by a rule for a name only if that
//! name led there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long an answer is good for at least: programs keep addresses longer than they are told to.
const SHORTEST: Duration = Duration::from_secs(60);
/// And at most, without being used.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Most pairs of name and address that are kept.
const MOST: usize = 8192;

/// One name that led to an address.
struct Known {
    name: String,
    kept_for: Duration,
    until: Instant,
}

/// All of them.
#[derive(Default)]
pub struct Names {
    by_address: HashMap<IpAddr, Vec<Known>>,
    count: usize,
}

impl Names {
    /// `name` was answered with `address`, for so many seconds.
    pub fn learn(&mut self, name: &str, address: IpAddr, ttl: u32, now: Instant) {
        let kept_for = Duration::from_secs(ttl.into()).clamp(SHORTEST, LONGEST);
        let until = now + kept_for;
        if let Some(known) = self.by_address.get_mut(&address).and_then(|l| l.iter_mut().find(|k| k.name == name)) {
            known.kept_for = kept_for;
            known.until = known.until.max(until);
            return;
        }
        if self.count >= MOST {
            self.make_room(now);
        }
        self.count += 1;
        self.by_address.entry(address).or_default().push(Known { name: name.to_string(), kept_for, until });
    }

    /// The names that led to `address` and are still good.
    pub fn of(&self, address: IpAddr, now: Instant) -> impl Iterator<Item = &str> {
        let known = self.by_address.get(&address).into_iter().flatten();
        known.filter(move |k| k.until > now).map(|k| k.name.as_str())
    }

    /// Somebody connected to `address` by `name`, which is good for as long again.
    pub fn used(&mut self, name: &str, address: IpAddr, now: Instant) {
        if let Some(known) = self.by_address.get_mut(&address).and_then(|l| l.iter_mut().find(|k| k.name == name)) {
            known.until = known.until.max(now + known.kept_for);
        }
    }

    /// Forgets what is not good any more, and if that is nothing, the half that ends first.
    fn make_room(&mut self, now: Instant) {
        let mut ends: Vec<Instant> = self.by_address.values().flatten().map(|k| k.until).collect();
        let half = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(half);
        let limit = if *median > now && !self.has_old(now) { *median } else { now };
        self.by_address.retain(|_, list| {
            list.retain(|k| k.until > limit);
            !list.is_empty()
        });
        self.count = self.by_address.values().map(Vec::len).sum();
    }

    fn has_old(&self, now: Instant) -> bool {
        self.by_address.values().flatten().any(|k| k.until <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::{MOST, Names};

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(n))
    }

    fn known(names: &Names, n: u32, now: Instant) -> Vec<String> {
        names.of(address(n), now).map(str::to_string).collect()
    }

    #[test]
    fn an_answer_is_good_for_a_minute_or_as_long_as_it_says_and_longer_while_it_is_used() {
        let (mut names, start) = (Names::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        names.learn("short.org", address(1), 5, start);
        names.learn("long.org", address(1), 300, start);
        assert_eq!(known(&names, 1, at(59)), ["short.org", "long.org"]);
        assert_eq!(known(&names, 1, at(61)), ["long.org"]);
        assert_eq!(known(&names, 2, at(1)), Vec::<String>::new());
        names.used("long.org", address(1), at(299));
        assert_eq!(known(&names, 1, at(598)), ["long.org"]);
        assert_eq!(known(&names, 1, at(600)), Vec::<String>::new());
    }

    #[test]
    fn the_table_does_not_grow_without_end() {
        let (mut names, start) = (Names::default(), Instant::now());
        for n in 0..3 * MOST as u32 {
            names.learn("x.org", address(n), 60 + n % 7, start + Duration::from_millis(n.into()));
        }
        assert!(names.count <= MOST && names.by_address.len() <= MOST);
        let now = start + Duration::from_millis(3 * MOST as u64);
        assert_eq!(known(&names, 3 * MOST as u32 - 1, now), ["x.org"]);
    }
}
