//! The tour of the four operations that `serve` prints and the README shows; a test runs both.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The last line of the tour.
pub const TOUR_END: &str = "Ctrl-C stops the server.";

/// The client that the tour issues tokens for.
pub const TOUR_CLIENT: &str = "mobile-app";

const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// A tour to paste into another terminal, for a server whose gRPC listens at `grpc`. Commands are indented by four
/// spaces; there are no comments among them, for an interactive zsh would take those for commands. Ends with
/// [`TOUR_END`] and a line end.
#[must_use]
pub fn tour(grpc: SocketAddr) -> String {
    let reachable = reachable(grpc);
    let server = if reachable == DEFAULT { String::new() } else { format!("    export JETON_SERVER=http://{reachable}\n") };
    format!(
        r#"Paste this into another terminal, in the directory of the project:

    export PATH="$PWD/target/release:$PATH"
{server}
Alice signed in to the mobile app: issue its tokens.

    TOKENS=$(jeton issue --client {TOUR_CLIENT} --subject alice --scope "openid offline_access orders:read" --resource https://orders.internal --field access_token --field refresh_token)
    ACCESS_TOKEN=$(echo "$TOKENS" | sed -n 1p)
    REFRESH_TOKEN=$(echo "$TOKENS" | sed -n 2p)

Introspect the access token, as the API gateway does.

    jeton introspect "$ACCESS_TOKEN"

Refresh, without asking alice again, and see what she allowed.

    REFRESH_TOKEN=$(jeton refresh "$REFRESH_TOKEN" --client {TOUR_CLIENT} --field refresh_token)
    jeton grants list --subject alice

Revoke, and the access token is dead at once.

    jeton revoke "$REFRESH_TOKEN" --reason sign_out
    jeton introspect "$ACCESS_TOKEN" || echo "exit code $?: the token is not active"

{TOUR_END}
"#
    )
}

/// Where a client on this machine reaches what listens at `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_named_where_it_is_not_the_default() {
        assert!(!tour(DEFAULT).contains("JETON_SERVER"));
        assert!(!tour("0.0.0.0:50051".parse().unwrap()).contains("JETON_SERVER"));
        assert!(tour("[::]:7".parse().unwrap()).contains("    export JETON_SERVER=http://[::1]:7\n"));
        assert!(tour(DEFAULT).ends_with(&format!("\n{TOUR_END}\n")));
    }
}
