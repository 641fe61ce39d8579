//! Where clouds hand out access tokens: the metadata services of nodes, and Microsoft Entra.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{Asked, Fake, Told};

/// A service that hands out one token.
pub(crate) struct Login {
    fake: Fake,
    logins: Arc<AtomicUsize>,
}

impl Login {
    /// Google's metadata service (`instance/service-accounts/default/token`).
    pub(crate) async fn of_google_node(token: &str) -> Self {
        let answer = json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" });
        Self::serve(move |asked| {
            let is_right = asked.path == "/computeMetadata/v1/instance/service-accounts/default/token"
                && asked.headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
            if is_right { (200, answer.clone()) } else { (403, Value::Null) }
        })
        .await
    }

    /// Azure's metadata service (`identity/oauth2/token`), which writes numbers as text.
    pub(crate) async fn of_azure_node(token: &str, client_id: Option<&'static str>) -> Self {
        let answer = json!({ "access_token": token, "expires_in": "86399", "token_type": "Bearer" });
        Self::serve(move |asked| {
            let is_right = asked.path == "/metadata/identity/oauth2/token"
                && asked.headers.get("metadata").is_some_and(|header| header == "true")
                && asked.query("api-version") == Some("2018-02-01")
                && asked.query("client_id") == client_id
                && asked.query("resource").is_some();
            if is_right { (200, answer.clone()) } else { (400, json!({ "error": "invalid_request" })) }
        })
        .await
    }

    /// Microsoft Entra: `assertion` of `client_id` in `tenant` for `scope`.
    pub(crate) async fn of_entra(
        token: &str,
        tenant: &'static str,
        client_id: &'static str,
        scope: &'static str,
        assertion: &'static str,
    ) -> Self {
        let answer = json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" });
        Self::serve(move |asked| {
            let form = asked.form();
            let has = |key: &str, value: &str| form.get(key).is_some_and(|found| found == value);
            let is_right = asked.method == "POST"
                && asked.path == format!("/{tenant}/oauth2/v2.0/token")
                && has("client_id", client_id)
                && has("scope", scope)
                && has("grant_type", "client_credentials")
                && has("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            match (is_right, has("client_assertion", assertion)) {
                (true, true) => (200, answer.clone()),
                (true, false) => {
                    let told = format!("AADSTS700213: No matching record for {}.", form["client_assertion"]);
                    (401, json!({ "error": "invalid_client", "error_description": told }))
                }
                (false, _) => (400, json!({ "error": "invalid_request", "error_description": "No." })),
            }
        })
        .await
    }

    async fn serve(answer: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        let logins = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&logins);
        let fake = Fake::serve(move |asked| {
            counted.fetch_add(1, Ordering::Relaxed);
            answer(asked)
        });
        Self { fake: fake.await, logins }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.fake.address()
    }

    /// How often somebody logged in, or tried to.
    pub(crate) fn logins(&self) -> usize {
        self.logins.load(Ordering::Relaxed)
    }
}
