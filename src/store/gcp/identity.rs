//! Who asks Google Cloud.
//!
//! ```text
//! audience   token file ─▶ Security Token Service ─▶ access token          workload identity federation
//! none       metadata service ─▶ access token                             the identity of GKE, or of the node
//! and with serviceAccount: ─▶ IAM Credentials ─▶ access token of that account
//! ```

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::super::rest::{self, Call, Client, Identity, Proxies, Text, Token, Trouble, login};
use super::super::{Answer, Surroundings};
use crate::handover::GcpSettings;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_SERVICE: &str = "https://sts.googleapis.com/v1/token";
const IAM: &str = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts";
/// What `metadata.google.internal` is, without asking a resolver.
const METADATA: &str = "169.254.169.254";
const METADATA_TOKEN: &str = "computeMetadata/v1/instance/service-accounts/default/token";
/// Where an answer does not say when it expires.
const SHORT: Duration = Duration::from_secs(300);

/// An identity of Google Cloud.
#[derive(Debug)]
pub(super) struct Google {
    source: Source,
    /// Where to become another service account.
    account: Option<Url>,
    client: Client,
}

#[derive(Debug)]
enum Source {
    Federation { service: Url, audience: String, token_file: PathBuf },
    Metadata { service: Url, client: Client },
}

impl Google {
    /// The reason where what is needed is not there.
    pub(super) fn new(
        settings: &GcpSettings,
        surroundings: &Surroundings,
        client: &Client,
    ) -> Result<Self, String> {
        let source = match &settings.audience {
            Some(audience) => Source::Federation {
                service: url(TOKEN_SERVICE)?,
                audience: provider(audience),
                token_file: surroundings.token_file.clone().ok_or_else(|| {
                    "there is no token for the audience; KEYSTOW_TOKEN_FILE must name it".to_owned()
                })?,
            },
            None => {
                let host = surroundings.variable("GCE_METADATA_HOST").unwrap_or(METADATA);
                Source::Metadata {
                    service: url(&format!("http://{host}/{METADATA_TOKEN}"))?,
                    client: Client::new(surroundings, Proxies::Passed)?,
                }
            }
        };
        let account = settings.service_account.as_deref();
        let account = account.map(|email| url(&format!("{IAM}/{email}:generateAccessToken"))).transpose()?;
        Ok(Self { source, account, client: client.clone() })
    }

    async fn own_token(&self) -> Result<(Token, Duration), Trouble> {
        match &self.source {
            Source::Federation { service, audience, token_file } => {
                let token = login::service_account_token(token_file).await?;
                let call = Call::new(Method::POST, service.clone()).with_form(&[
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                    ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
                    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                    ("subject_token", &token),
                    ("audience", audience),
                    ("scope", SCOPE),
                ]);
                let remedy = "check that the audience is the full name of the workload identity provider, and that the \
                              provider trusts this cluster";
                let reply = self.client.send(&call, None).await?;
                login::granted(&reply, "Google's Security Token Service", remedy)
            }
            Source::Metadata { service, client } => {
                let mut call = Call::get(service.clone());
                call.headers.insert("metadata-flavor", HeaderValue::from_static("Google"));
                let remedy =
                    "give the pod's service account an identity, by Workload Identity Federation for GKE";
                login::granted(&client.send(&call, None).await?, "the metadata service", remedy)
            }
        }
    }

    async fn become_account(&self, account: &Url, own: &Token) -> Result<(Token, Duration), Trouble> {
        #[derive(Serialize)]
        struct Wanted {
            scope: [&'static str; 1],
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Granted {
            access_token: Text,
            #[serde(default)]
            expire_time: String,
        }
        let call = Call::new(Method::POST, account.clone()).with_json(&Wanted { scope: [SCOPE] }, 256);
        let reply = self.client.send(&call, Some(own)).await?;
        if reply.status != StatusCode::OK {
            let status = reply.status.as_u16();
            let reason = "roles/iam.workloadIdentityUser on it must be granted to the pod's identity";
            return Err(Trouble::denied(format!(
                "IAM answers {status} to becoming the service account: {reason}"
            )));
        }
        let granted: Granted = reply.read()?;
        let token = Token::new(granted.access_token.0)
            .ok_or_else(|| Trouble::unavailable("IAM grants a token that is none"))?;
        let until = rest::rfc3339(&granted.expire_time).zip(reply.date);
        let left = until.and_then(|(until, now)| u64::try_from(until - now).ok());
        Ok((token, left.map_or(SHORT, Duration::from_secs)))
    }
}

impl Identity for Google {
    fn log_in(&self) -> Answer<'_, Result<(Token, Duration), Trouble>> {
        Box::pin(async move {
            let own = self.own_token().await?;
            match &self.account {
                Some(account) => self.become_account(account, &own.0).await,
                None => Ok(own),
            }
        })
    }

    fn remedy(&self) -> &'static str {
        "check that the service account is enabled, and that the project is the right one"
    }
}

/// The provider's name as the token service wants it.
fn provider(audience: &str) -> String {
    let name = audience.trim_start_matches("https:").trim_start_matches("//iam.googleapis.com/");
    if name.starts_with("projects/") { format!("//iam.googleapis.com/{name}") } else { audience.to_owned() }
}

fn url(text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|_| format!("`{text}` is not an address"))
}

#[cfg(test)]
mod tests;
