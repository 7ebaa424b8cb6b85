//! The side of the gateway that clients speak HTTP/1 to: what actix-http 3.20 leaves open.
//!
//! 1. A connection has one request at a time. The bytes of the next request are held back until the answer is written, and dropped after the last answer.
//! 2. `100 Continue` is sent when the body is read, which is after the gate has decided.
//! 3. A request body has a floor of throughput and a total time (`[limits]`); a request head has a time. A client that takes nothing
//!    of an answer has a time too.
//! 4. Chunk size lines, their extensions and trailers have bounds.
//! 5. A request target with a fragment is refused. Bytes that browsers encode and other clients may not are encoded once.
//! 6. A head that cannot be read is answered like any other refusal: with a body, a code and a request id.

mod body;
mod framing;
mod hand;
mod listen;
mod send;
mod service;
mod state;
mod target;
mod transport;

pub(crate) use body::UploadLimits;
pub(crate) use hand::{Handed, hand};
pub(crate) use listen::{Bounds, listen};
pub(crate) use state::UnreadableHead;
