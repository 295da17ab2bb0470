//! Compiles the protobuf files, without an installed `protoc`.

use prost::Message as _;
use prost_build::{Config, Service, ServiceGenerator};
use std::path::PathBuf;
use std::{env, error, fs};

const API: [&str; 9] = [
    "jeton/v1/common.proto",
    "jeton/v1/token_service.proto",
    "jeton/v1/authorization_code_service.proto",
    "jeton/v1/device_service.proto",
    "jeton/v1/client_service.proto",
    "jeton/v1/resource_service.proto",
    "jeton/v1/grant_service.proto",
    "jeton/v1/key_service.proto",
    "jeton/v1/revocation_service.proto",
];
/// What Envoy asks whom it lets pass.
const ENVOY: [&str; 1] = ["envoy/service/auth/v3/external_auth.proto"];
const RECORDS: [&str; 1] = ["jeton/records/v1/records.proto"];
/// Only with the feature `bench`.
const NOOP: [&str; 1] = ["jeton/bench/v1/noop.proto"];

#[expect(clippy::disallowed_methods, reason = "cargo tells a build script where to write through the environment")]
fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let api = protox::compile(API, ["proto"])?;
    fs::write(out.join("jeton_v1.bin"), api.encode_to_vec())?;
    let builder = || tonic_prost_build::configure().codec_path("crate::transport::grpc::codec::ProtoCodec");
    let sides = || Sides {
        client: builder().build_server(false).service_generator(),
        server: builder().build_client(false).service_generator(),
    };
    Config::new()
        .bytes([".jeton.v1.CacheAdvice", ".jeton.v1.Ancestor", ".jeton.v1.RaisedFloor"])
        .service_generator(Box::new(sides()))
        .compile_fds(api)?;
    let envoy = protox::compile(ENVOY, ["proto"])?;
    fs::write(out.join("envoy.bin"), envoy.encode_to_vec())?;
    Config::new().include_file("envoy.rs").service_generator(Box::new(sides())).compile_fds(envoy)?;
    tonic_prost_build::configure()
        .skip_debug([".jeton.records.v1.SigningKey"])
        .build_client(false)
        .build_server(false)
        .compile_fds(protox::compile(RECORDS, ["proto"])?)?;
    if env::var_os("CARGO_FEATURE_BENCH").is_some() {
        // A stock server and a stock client: no settings.
        tonic_prost_build::configure().compile_fds(protox::compile(NOOP, ["proto"])?)?;
    }
    Ok(())
}

/// What a stream's server sends instead of a message: one that is encoded already, once for all who watch.
const ENCODED: &str = "crate::transport::grpc::codec::Encoded";

/// tonic's own clients and servers, but for the message that the server of a stream sends.
struct Sides {
    client: Box<dyn ServiceGenerator>,
    server: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Sides {
    fn generate(&mut self, mut service: Service, buffer: &mut String) {
        self.client.generate(service.clone(), buffer);
        for method in service.methods.iter_mut().filter(|method| method.server_streaming) {
            method.output_type = ENCODED.into();
        }
        self.server.generate(service, buffer);
    }

    fn finalize(&mut self, buffer: &mut String) {
        self.client.finalize(buffer);
        self.server.finalize(buffer);
    }
}
