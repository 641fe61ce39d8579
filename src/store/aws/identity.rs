//! The session of a pod: its projected token, given to STS for the credentials of a role.
//!
//! The file is read each time, since the kubelet renews it. The session has the pod's name, so that CloudTrail tells
//! which pod asked.
//!
//! The SDK's own provider does the same and is not used: it cannot ask another STS, and tells the denial of a role from
//! a server that is away only in texts.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use zeroize::Zeroizing;

use super::fault::Fault;
use crate::store::Surroundings;

/// Shorter than what it is part of, so that it is known which server is silent.
const ATTEMPT: Duration = Duration::from_secs(4);
const OPERATION: Duration = Duration::from_secs(9);
/// `RoleSessionName`: `[\w+=,.@-]{2,64}`.
const LONGEST_SESSION: usize = 64;

/// Assumes a role with the pod's token.
pub(super) struct WebIdentity {
    sts: aws_sdk_sts::Client,
    token_file: PathBuf,
    role: String,
    session: String,
}

impl fmt::Debug for WebIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebIdentity")
            .field("role", &self.role)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl WebIdentity {
    pub(super) fn new(
        config: &SdkConfig,
        role: Option<&str>,
        surroundings: &Surroundings,
    ) -> Result<Self, &'static str> {
        let token_file = surroundings
            .token_file
            .clone()
            .ok_or("it has an audience, but the pod has no token for it: KEYSTOW_TOKEN_FILE is not set")?;
        let role = role.or(surroundings.variable("AWS_ROLE_ARN")).map(str::to_owned).ok_or(
            "no role is configured; set `roleArn` of the store, or annotate the pod's service account with eks.amazonaws.com/role-arn",
        )?;
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
        let mut sts = aws_sdk_sts::config::Builder::from(config).timeout_config(timeouts);
        if let Some(endpoint) = &surroundings.aws_sts_endpoint {
            sts = sts.endpoint_url(endpoint);
        }
        let session = session_name(surroundings.pod_name.as_deref().unwrap_or_default());
        Ok(Self { sts: aws_sdk_sts::Client::from_conf(sts.build()), token_file, role, session })
    }

    async fn login(&self) -> Result<Credentials, Fault> {
        let token = match tokio::fs::read_to_string(&self.token_file).await {
            Ok(token) => Zeroizing::new(token),
            Err(error) => {
                let reason = format!("the token file {} cannot be read: {error}", self.token_file.display());
                return Err(Fault::denied(reason));
            }
        };
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.role)
            .role_session_name(&self.session)
            .web_identity_token(token.trim())
            .send()
            .await
            .map_err(|error| Fault::of(&error).of_role(&self.role))?;
        // An answer that breaks off is read as far as it goes, and what is missing is empty.
        let is_whole = |issued: &aws_sdk_sts::types::Credentials| {
            [&issued.access_key_id, &issued.secret_access_key, &issued.session_token]
                .iter()
                .all(|part| !part.is_empty())
        };
        let issued = answer
            .credentials
            .filter(is_whole)
            .ok_or_else(|| Fault::unavailable("STS answered without credentials"))?;
        let expiry = SystemTime::try_from(issued.expiration).ok();
        Ok(Credentials::new(
            issued.access_key_id,
            issued.secret_access_key,
            Some(issued.session_token),
            expiry,
            "WebIdentity",
        ))
    }
}

impl ProvideCredentials for WebIdentity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let done: provider::Result = self.login().await.map_err(CredentialsError::provider_error);
            done
        })
    }
}

fn session_name(pod: &str) -> String {
    let is_allowed = |c: &char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(*c);
    let name: String = pod.chars().filter(is_allowed).take(LONGEST_SESSION).collect();
    if name.len() < 2 { format!("keystow{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_the_pods_name_as_far_as_sts_takes_it() {
        assert_eq!(session_name("web-0.example"), "web-0.example");
        assert_eq!(session_name(&"a".repeat(253)), "a".repeat(64));
        assert_eq!(session_name("a"), "keystowa");
        assert_eq!(session_name(""), "keystow");
        assert_eq!(session_name("a b/c"), "abc");
    }
}
