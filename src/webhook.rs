//! The admission webhook: bytes of a review in, bytes of the answer out, and the server around that.
//!
//! ```text
//! run ── certificate, sockets, readiness, drain
//!  ├─ server ── connections: TLS, HTTP/1.1 and 2, bounds ── router ── body ── Review::answer
//!  └─ admin  ── plain HTTP, off the Service: /livez /readyz /metrics
//! ```
//!
//! [`crate::server`] and [`crate::admin`] serve other programs of keystow too.
//!
//! [`review`] is the seam, and [`injector`] what is behind it: nothing on the server's side knows what an admission review is, and nothing on the other
//! side knows that there is a network.

mod body;
pub mod deadline;
pub mod injector;
mod membership;
pub mod metrics;
mod refusal;
pub mod review;
pub mod router;
pub mod run;
mod span;
