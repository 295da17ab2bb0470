//! Compiles the calling half of the API from the very files that the server is made of.

use std::error;

const API: [&str; 3] = ["jeton/v1/token_service.proto", "jeton/v1/key_service.proto", "jeton/v1/revocation_service.proto"];
const PROTO: &str = "../../proto";

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed={PROTO}/jeton/v1");
    tonic_prost_build::configure().build_server(false).compile_fds(protox::compile(API, [PROTO])?)?;
    Ok(())
}
