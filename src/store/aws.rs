//! What the stores of AWS have in common: configuration, the session, and what a refusal means ([`fault`]).
//!
//! ```text
//! settings.audience, or an STS of one's own ─▶ identity: token file ─▶ STS AssumeRoleWithWebIdentity
//! neither ─▶ the SDK's own chain: EKS' webhook (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE), EKS Pod Identity, the node
//!                                   └─▶ Connection ─▶ call ─▶ expired? ─▶ once more, with a session of its own
//! ```
//!
//! Invariants: a session is kept until shortly before it expires, and is never used again once a service has called it
//! expired; a server that does not answer costs one attempt of [`ATTEMPT`], and a call [`OPERATION`] at most.
//!
//! Proxies are the SDK's (`HTTPS_PROXY`, `NO_PROXY`), by the behaviour version. What passes through the SDK lies in its
//! own buffers, which nobody wipes.

pub(super) mod fault;
mod identity;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use futures::{StreamExt as _, stream};

use super::{OpenError, Surroundings};
use crate::handover::AwsSettings;
use fault::{Call, Fault};
use identity::WebIdentity;

const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(10);
const OPERATION: Duration = Duration::from_secs(20);
/// Who waits for a store asks again anyway.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Calls at once: what a service bears, it bears for the whole account.
const AT_ONCE: usize = 8;

/// The client of one service, made anew with a session of its own when the one it had has expired.
pub(super) struct Connection<C> {
    config: SdkConfig,
    make: fn(&SdkConfig) -> C,
    client: ArcSwap<C>,
}

impl<C> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("region", &self.region()).finish_non_exhaustive()
    }
}

impl<C> Connection<C> {
    /// Reads the configuration. Only who has no region configured asks anybody: the node.
    pub(super) async fn open(
        kind: &'static str,
        settings: &AwsSettings,
        surroundings: &Surroundings,
        make: fn(&SdkConfig) -> C,
    ) -> Result<Self, OpenError> {
        let unusable = |reason: &str| OpenError::Unusable { kind, reason: reason.to_owned() };
        let config = configuration(settings, surroundings).await.map_err(unusable)?;
        let config = match &settings.endpoint {
            Some(endpoint) => config.into_builder().endpoint_url(endpoint).build(),
            None => config,
        };
        let client = ArcSwap::from_pointee(fresh(&config, make));
        Ok(Self { config, make, client })
    }

    /// The region that is asked.
    pub(super) fn region(&self) -> &str {
        self.config.region().map_or("", Region::as_ref)
    }

    /// Asks the service; where it says that the session has expired, once more with a new one.
    pub(super) async fn call<T, E, F>(&self, call: impl Fn(Arc<C>) -> F) -> Call<T, E>
    where
        E: fault::Error,
        F: Future<Output = Call<T, E>>,
    {
        let client = self.client.load_full();
        match call(Arc::clone(&client)).await {
            Err(error) if Fault::of(&error).is_expiry() => call(self.renewed(&client)).await,
            answer => answer,
        }
    }

    /// A client that is not the one that has expired: somebody else's new one, or else ours.
    fn renewed(&self, expired: &Arc<C>) -> Arc<C> {
        self.client.compare_and_swap(expired, Arc::new(fresh(&self.config, self.make)));
        self.client.load_full()
    }
}

/// Asks for many keys, of which one call takes `size`; the answers of all calls as one.
pub(super) async fn in_batches<K: Clone, A, F>(keys: &[K], size: usize, call: impl Fn(Vec<K>) -> F) -> A
where
    A: IntoIterator + FromIterator<A::Item>,
    F: Future<Output = A>,
{
    let batches: Vec<Vec<K>> = keys.chunks(size).map(<[K]>::to_vec).collect();
    let calls = batches.into_iter().map(call);
    let answers: Vec<A> = stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
    answers.into_iter().flatten().collect()
}

fn fresh<C>(config: &SdkConfig, make: fn(&SdkConfig) -> C) -> C {
    let session = IdentityCache::lazy().load_timeout(ATTEMPT).build();
    make(&config.to_builder().identity_cache(session).build())
}

async fn configuration(
    settings: &AwsSettings,
    surroundings: &Surroundings,
) -> Result<SdkConfig, &'static str> {
    // The SDK panics without any, even where nothing speaks TLS.
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return Err(
            "no certificate authority can be read; mend SSL_CERT_FILE and SSL_CERT_DIR, or use an image that has some",
        );
    }
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE);
    let mut loader =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts).retry_config(retries);
    if let Ok(name) = AppName::new("keystow") {
        loader = loader.app_name(name);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let has_web_identity = settings.audience.is_some() || surroundings.aws_sts_endpoint.is_some();
    if has_web_identity {
        loader = loader.no_credentials();
    }
    let config = loader.load().await;
    // Set to nothing, AWS_REGION is not set.
    if config.region().is_none_or(|region| region.as_ref().is_empty()) {
        return Err("no region is configured; set `region` of the store, or AWS_REGION in the pod");
    }
    if !has_web_identity {
        return Ok(config);
    }
    let identity = WebIdentity::new(&config, settings.role_arn.as_deref(), surroundings)?;
    Ok(config.into_builder().credentials_provider(SharedCredentialsProvider::new(identity)).build())
}
