//! The admission webhook: bytes of a review in, bytes of the answer out, and the server around that.
//!
//! ```text
//! run ── certificate, sockets, readiness, drain
//!  ├─ server ── connections: TLS, HTTP/1.1 and 2, bounds ── router ── body ── Review::answer
//!  └─ server ── plain HTTP, off the Service              ── admin: /livez /readyz /metrics
//! ```
//!
//! [`review`] is the seam, and [`injector`] what is behind it: nothing on the server's side knows what an admission review is, and nothing on the other
//! side knows that there is a network.

pub mod admin;
mod body;
pub mod deadline;
pub mod injector;
mod membership;
pub mod metrics;
mod refusal;
pub mod review;
pub mod router;
pub mod run;
pub mod server;
