//! Tests of identities of Azure.

use super::*;
use crate::store::rest::tests::client;

fn settings() -> AzureSettings {
    let text = |text: &str| Some(text.to_owned());
    AzureSettings {
        vault_url: "https://example.vault.azure.net".to_owned(),
        tenant_id: text("tenant"),
        client_id: text("client"),
        audience: text("api://AzureADTokenExchange"),
    }
}

fn opened(settings: &AzureSettings, surroundings: &Surroundings) -> Result<Source, String> {
    let vault = Url::parse(&settings.vault_url).unwrap();
    Azure::new(settings, surroundings, &client(), &vault).map(|azure| azure.source)
}

#[test]
fn a_token_is_for_the_vaults_of_its_cloud() {
    for (vault, resource_of_it) in [
        ("https://example.vault.azure.net/", "https://vault.azure.net"),
        ("https://example.vault.azure.cn", "https://vault.azure.cn"),
        ("https://example.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
        ("https://127.0.0.1:8443", "https://127.0.0.1"),
        ("https://vault.example.com", "https://vault.example.com"),
    ] {
        assert_eq!(resource(&Url::parse(vault).unwrap()), resource_of_it, "{vault}");
    }
}

#[test]
fn settings_come_before_variables_and_a_token_file_before_the_node() {
    let own = Surroundings { token_file: Some("/own".into()), ..Surroundings::default() };
    let Ok(Source::Workload { service, client_id, token_file, scope }) = opened(&settings(), &own) else {
        panic!("a workload identity")
    };
    assert_eq!(service.as_str(), "https://login.microsoftonline.com/tenant/oauth2/v2.0/token");
    let found = (client_id.as_str(), token_file.to_str().unwrap(), scope.as_str());
    assert_eq!(found, ("client", "/own", "https://vault.azure.net/.default"));

    let bare = AzureSettings { tenant_id: None, client_id: None, audience: None, ..settings() };
    let Ok(Source::Managed { service }) = opened(&bare, &own) else { panic!("a managed identity") };
    assert_eq!(service.host_str(), Some("169.254.169.254"));
    assert!(!service.query().unwrap().contains("client_id"), "{service}");

    let file = [("AZURE_FEDERATED_TOKEN_FILE", "/theirs".to_owned())];
    let mut theirs = Surroundings { variables: file.into_iter().collect(), ..Surroundings::default() };
    assert!(opened(&bare, &theirs).unwrap_err().contains("AZURE_TENANT_ID"));
    theirs.variables.insert("AZURE_TENANT_ID", "their-tenant".to_owned());
    assert!(opened(&bare, &theirs).unwrap_err().contains("AZURE_CLIENT_ID"));
    theirs.variables.insert("AZURE_CLIENT_ID", "their-client".to_owned());
    theirs.variables.insert("AZURE_AUTHORITY_HOST", "https://login.example/".to_owned());
    let Ok(Source::Workload { service, client_id, .. }) = opened(&bare, &theirs) else {
        panic!("a workload identity")
    };
    assert_eq!(service.as_str(), "https://login.example/their-tenant/oauth2/v2.0/token");
    assert_eq!(client_id, "their-client");
    theirs.variables.insert("AZURE_AUTHORITY_HOST", "http://login.example/".to_owned());
    assert!(opened(&bare, &theirs).unwrap_err().contains("https://"));
}
