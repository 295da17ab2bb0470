//! Behaviour, shown through the outermost surface that can show it. One binary, so that it links once.

// `cfg(test)` tells clippy that helpers beside the tests are tests too.
#[cfg(test)]
mod attack;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod authority;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod canaries;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod client;
#[cfg(test)]
mod config;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod fields;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod linearizability;
#[cfg(test)]
mod load;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod outbound;
#[cfg(test)]
mod page;
#[cfg(test)]
mod port;
#[cfg(test)]
mod process;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod redis_cluster;
#[cfg(test)]
mod redis_sentinel;
#[cfg(test)]
mod redis_server;
#[cfg(test)]
mod registry_command;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod replica_down;
#[cfg(test)]
#[path = "../rfc/rfc.rs"]
mod rfc;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod runbooks;
#[cfg(test)]
mod server;
#[cfg(test)]
mod store_cluster;
#[cfg(test)]
mod store_contract;
#[cfg(test)]
mod store_crash;
#[cfg(test)]
mod store_embedded;
#[cfg(test)]
mod store_model;
#[cfg(test)]
mod store_redis;
#[cfg(test)]
mod store_redis_durability;
#[cfg(test)]
mod store_redis_eras;
#[cfg(test)]
mod store_sentinel;
#[cfg(test)]
mod store_tls;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tour;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod watch_command;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod world;
