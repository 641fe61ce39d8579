//! The pair that handshakes are answered with.
//!
//! One pointer that is swapped whole: a handshake sees the old pair or the new one, never half of each, and takes no
//! lock. Connections that are open keep what they were opened with.
//!
//! Deliberately absent: a choice by server name. There is one service and one certificate.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::load::Pair;

/// Holds the pair that is served now.
#[derive(Debug)]
pub struct Served {
    current: ArcSwapOption<CertifiedKey>,
}

impl Served {
    /// Serves this pair until it is replaced.
    #[must_use]
    pub fn new(pair: &Pair) -> Self {
        Self { current: ArcSwapOption::new(Some(Arc::clone(&pair.certified))) }
    }

    /// Serves nothing yet: every handshake fails until there is a pair.
    #[must_use]
    pub fn empty() -> Self {
        Self { current: ArcSwapOption::empty() }
    }

    /// Serves another pair from the next handshake on.
    pub fn replace(&self, pair: &Pair) {
        self.current.store(Some(Arc::clone(&pair.certified)));
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}
