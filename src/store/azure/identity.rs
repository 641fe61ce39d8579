//! Who asks Azure.
//!
//! ```text
//! token file   ─▶ Microsoft Entra, with the client's id and the tenant ─▶ access token      workload identity
//! none         ─▶ the node's metadata service ─▶ access token                               managed identity
//! ```
//!
//! What the settings do not say is taken from the variables that the workload-identity webhook of Azure sets.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Method};
use reqwest::Url;

use super::super::rest::{Call, Client, Identity, Proxies, Token, Trouble, login};
use super::super::{Answer, Surroundings};
use crate::handover::AzureSettings;

const AUTHORITY: &str = "https://login.microsoftonline.com";
const METADATA: &str = "http://169.254.169.254";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An identity of Azure.
#[derive(Debug)]
pub(super) struct Azure {
    source: Source,
    client: Client,
}

#[derive(Debug)]
enum Source {
    Workload { service: Url, client_id: String, token_file: PathBuf, scope: String },
    Managed { service: Url },
}

impl Azure {
    /// The reason where what is needed is not there.
    pub(super) fn new(
        settings: &AzureSettings,
        surroundings: &Surroundings,
        client: &Client,
        vault: &Url,
    ) -> Result<Self, String> {
        let variable = |name: &str| surroundings.variable(name).map(str::to_owned);
        let client_id = settings.client_id.clone().or_else(|| variable("AZURE_CLIENT_ID"));
        let own = || surroundings.token_file.clone().filter(|_| settings.audience.is_some());
        let resource = resource(vault);
        let Some(token_file) = own().or_else(|| variable("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from))
        else {
            let host = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| METADATA.to_owned());
            let mut service = url(&host, &["metadata", "identity", "oauth2", "token"])?;
            service
                .query_pairs_mut()
                .append_pair("api-version", "2018-02-01")
                .append_pair("resource", &resource);
            if let Some(client_id) = &client_id {
                service.query_pairs_mut().append_pair("client_id", client_id);
            }
            let client = Client::new(surroundings, Proxies::Passed)?;
            return Ok(Self { source: Source::Managed { service }, client });
        };
        let missing = |what: &str, variable: &str| {
            format!(
                "there is no {what}: set it, or label the pod azure.workload.identity/use: \"true\" so that {variable} is set"
            )
        };
        let tenant = settings.tenant_id.clone().or_else(|| variable("AZURE_TENANT_ID"));
        let tenant = tenant.ok_or_else(|| missing("tenantId", "AZURE_TENANT_ID"))?;
        let client_id = client_id.ok_or_else(|| missing("clientId", "AZURE_CLIENT_ID"))?;
        let authority = variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
        let service = url(&authority, &[&tenant, "oauth2", "v2.0", "token"])?;
        if service.scheme() != "https" {
            return Err(format!("AZURE_AUTHORITY_HOST is {authority}, and must begin with https://"));
        }
        let scope = format!("{resource}/.default");
        let source = Source::Workload { service, client_id, token_file, scope };
        Ok(Self { source, client: client.clone() })
    }
}

impl Identity for Azure {
    fn log_in(&self) -> Answer<'_, Result<(Token, Duration), Trouble>> {
        Box::pin(async move {
            match &self.source {
                Source::Workload { service, client_id, token_file, scope } => {
                    let token = login::service_account_token(token_file).await?;
                    let call = Call::new(Method::POST, service.clone()).with_form(&[
                        ("client_id", client_id),
                        ("scope", scope),
                        ("grant_type", "client_credentials"),
                        ("client_assertion_type", ASSERTION),
                        ("client_assertion", &token),
                    ]);
                    let remedy = "check tenantId and clientId, and that the identity has a federated credential for this \
                                  cluster's issuer, the pod's service account and the audience";
                    login::granted(&self.client.send(&call, None).await?, "Microsoft Entra", remedy)
                }
                Source::Managed { service } => {
                    let mut call = Call::get(service.clone());
                    call.headers.insert("metadata", HeaderValue::from_static("true"));
                    let remedy =
                        "assign a managed identity to the nodes, or set tenantId, clientId and audience";
                    login::granted(&self.client.send(&call, None).await?, "the metadata service", remedy)
                }
            }
        })
    }

    fn remedy(&self) -> &'static str {
        "check that the vault is in the identity's tenant"
    }
}

/// What a token is for: the vaults of this cloud, `https://vault.azure.net` and its like.
fn resource(vault: &Url) -> String {
    let host = vault.host_str().unwrap_or_default();
    let of_cloud = host.split_once('.').map(|(_, rest)| rest).filter(|rest| rest.starts_with("vault."));
    format!("https://{}", of_cloud.unwrap_or(host))
}

fn url(base: &str, segments: &[&str]) -> Result<Url, String> {
    let unusable = || format!("`{base}` is not an address");
    let mut url = Url::parse(base).map_err(|_| unusable())?;
    url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend(segments);
    Ok(url)
}

#[cfg(test)]
mod tests;
