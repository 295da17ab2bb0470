//! How many there are of something at once, over all and from one address: connections, handshakes, forms that are being read.

use crate::telemetry::limits::Limit;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most connections of one listener at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Over all addresses.
    pub connections: usize,
    /// From one address; of IPv6 from one network of 64 bits.
    pub from_one_address: usize,
}

impl Default for Most {
    fn default() -> Self {
        Self { connections: 20_000, from_one_address: 2_000 }
    }
}

/// Who has an address of IPv6 has all of its network, as a rule, and so counts as that.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64)).into(),
        four @ IpAddr::V4(_) => four,
    }
}

/// What there is of it. An address is remembered only while it has one.
#[derive(Debug)]
pub(in crate::transport) struct Places {
    limits: [&'static Limit; 2],
    most: Most,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Places {
    /// So many at most: over all, and of one address. `limits` count what is over either.
    pub(in crate::transport) fn new(limits: [&'static Limit; 2], most: Most) -> Arc<Self> {
        Arc::new(Self { limits, most, taken: Mutex::default() })
    }

    /// A place for one from this address (of IPv6: network); none where all are taken, which is counted.
    pub(in crate::transport) fn take(self: &Arc<Self>, network: IpAddr) -> Option<Place> {
        let mut taken = self.taken();
        let of_one = taken.by_network.get(&network).copied().unwrap_or_default();
        let [all, of_address] = self.limits;
        let over = if taken.all >= self.most.connections {
            Some(all)
        } else {
            (of_one >= self.most.from_one_address).then_some(of_address)
        };
        if let Some(limit) = over {
            limit.exceeded(|| network.to_string(), None);
            return None;
        }
        taken.all += 1;
        taken.by_network.insert(network, of_one + 1);
        Some(Place { places: Arc::clone(self), network })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Given back when it ends.
#[derive(Debug)]
pub(in crate::transport) struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        let left = taken.by_network.get(&self.network).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            taken.by_network.remove(&self.network);
        } else {
            taken.by_network.insert(self.network, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::limits::{CONNECTIONS, CONNECTIONS_PER_ADDRESS};

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_takes_no_more_than_its_share_and_all_no_more_than_all() {
        let places = Places::new([&CONNECTIONS, &CONNECTIONS_PER_ADDRESS], Most { connections: 3, from_one_address: 2 });
        let one: Vec<_> = std::iter::from_fn(|| places.take(at("10.0.0.1"))).collect();
        assert_eq!(one.len(), 2);
        let other: Vec<_> = std::iter::from_fn(|| places.take(at("10.0.0.2"))).collect();
        assert_eq!(other.len(), 1, "all are taken");
        drop(one);
        assert!(places.take(at("10.0.0.2")).is_some());
        drop(other);
        let taken = places.taken();
        assert_eq!((taken.all, taken.by_network.len()), (0, 0), "nothing is remembered of who is gone");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_is_written_one_way() {
        assert_eq!(network(at("2001:db8:1:2:3::4")), network(at("2001:db8:1:2:ffff::")));
        assert_ne!(network(at("2001:db8:1:2::")), network(at("2001:db8:1:3::")));
        assert_eq!(network(at("::ffff:10.0.0.1")), at("10.0.0.1"));
        assert_ne!(network(at("10.0.0.1")), network(at("10.0.0.2")));
    }
}
