//! Addresses at which nobody listens until a test does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// One that stays free while its server is down: below those that connections are given, and not handed out again for long. Ten thousand
/// above it is where a node of a Redis cluster talks to the others.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(7_919);
    loop {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + u16::try_from(next % 10_000).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
