//! The admission webhook: bytes of a review in, bytes of the answer out, and the server around that.

pub mod review;
