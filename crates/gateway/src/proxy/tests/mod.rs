//! The proxy between real sockets: a client that writes bytes, the gateway, and upstreams that record what they receive.

mod bodies;
mod client;
mod failures;
mod headers;
mod inputs;
mod scripted;
mod servers;
mod smuggling;
mod sockets;
