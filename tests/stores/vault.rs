//! The store `vault` against a real Vault, whose logins a real API server decides.
//!
//! Three ways to be configured pass the whole suite: Kubernetes auth on KV version 2, JWT auth over TLS of a private CA on
//! an engine that demands check-and-set, and Kubernetes auth on KV version 1. What is particular to Vault is in the
//! modules below.
//!
//! Invariant: the policies are those of `docs/stores/vault.md`, word for word but for mount and prefix.

mod changes;
mod faults;
mod identity;
mod program;
mod world;

use std::sync::{Arc, Mutex};

use keystow::handover::VaultAuth;
use keystow::store::Store;

use super::conformance::{Asker, Limits, Subject, conformance};
use crate::support::faults::{Faults, Seen, answers};
use world::{Engine, World};

/// Logging in does not count as asking.
fn is_asking(seen: &Seen) -> bool {
    !seen.path.ends_with("/login")
}

/// What stands between a store and the server belongs to the runtime of its test, and lives as long.
type Lines = Mutex<Vec<Faults>>;

/// Opens a store of an engine for one who asks.
async fn open(world: &World, engine: Engine, auth: Auth, asker: Asker, lines: &Lines) -> Arc<dyn Store> {
    let (role, account) = match asker {
        Asker::Stranger => ("stranger", "stranger"),
        Asker::Allowed | Asker::Throttled(_) => (engine.role(), "app"),
    };
    let mut settings = match auth {
        Auth::Kubernetes => world.settings(engine, VaultAuth::Kubernetes(world::login(role, "kubernetes"))),
        Auth::Jwt => world.settings(engine, VaultAuth::Jwt(world::login(role, "jwt"))),
    };
    match (asker, auth) {
        (Asker::Throttled(times), _) => {
            let line = Faults::before(world.address()).start().await;
            line.next(is_asking, vec![answers::vault_throttled().into(); times]);
            settings.address = line.url();
            lines.lock().unwrap().push(line);
        }
        (_, Auth::Jwt) => {
            settings.address = world.vault.tls_address();
            settings.ca_certificate = Some(world.ca_pem());
        }
        (_, Auth::Kubernetes) => {}
    }
    world.open(&settings, account).await
}

#[derive(Debug, Clone, Copy)]
enum Auth {
    Kubernetes,
    Jwt,
}

macro_rules! subject {
    ($module:ident: $engine:expr, $auth:expr, $limits:expr) => {
        mod $module {
            use super::*;

            pub(super) struct Mine {
                world: &'static World,
                lines: Lines,
            }

            impl Subject for Mine {
                async fn start(test: &str) -> Option<Self> {
                    Some(Self { world: World::shared(test).await?, lines: Lines::default() })
                }

                async fn open(&self, asker: Asker) -> Arc<dyn Store> {
                    super::open(self.world, $engine, $auth, asker, &self.lines).await
                }

                fn limits(&self) -> Limits {
                    $limits
                }
            }

            conformance!(Mine);
        }
    };
}

subject!(version_2: Engine::Two, Auth::Kubernetes, Limits::default());
subject!(version_2_with_cas_required: Engine::Strict, Auth::Jwt, Limits::default());
// It has no check-and-set.
subject!(version_1: Engine::One, Auth::Kubernetes, Limits { has_one_creator: false, holds_leases: false, replaces: false, ..Limits::default() });
