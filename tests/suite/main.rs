//! Behaviour, shown through the outermost surface that can show it. One binary, so that it links once.

// `cfg(test)` says to the lints that all of a module is test code, not only its test functions.
#[cfg(test)]
mod redis_server;
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
