//! Reading from the API server: one object, or a list in pages. What is refused is an answer, not a failure.

use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::check::Known;
use crate::telemetry::chain;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(30);
/// Objects of a page.
const PAGE: usize = 500;

/// A client that only looks.
#[derive(Clone)]
pub(super) struct Reader {
    client: Client,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<T>,
}

#[derive(Deserialize, Default)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: String,
}

impl Reader {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// One object; `Yes(None)` where there is none of that name.
    pub(super) async fn get(&self, path: &str) -> Result<Known<Option<Value>>, String> {
        match self.ask::<Value>(path).await {
            Ok(object) => Ok(Known::Yes(Some(object))),
            Err(Refusal::Absent) => Ok(Known::Yes(None)),
            Err(Refusal::Denied(why)) => Ok(Known::No(why)),
            Err(Refusal::Away(why)) => Err(why),
        }
    }

    /// All of a kind; none where the kind is not installed.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Known<Vec<T>>, String> {
        self.pages(path, "").await
    }

    /// Those of a kind for which a field selector, escaped, holds.
    pub(super) async fn list_where(&self, path: &str, fields: &str) -> Result<Known<Vec<Value>>, String> {
        self.pages(path, &format!("&fieldSelector={fields}")).await
    }

    /// Those of a kind that a label selector, escaped, selects.
    pub(super) async fn list_labelled(&self, path: &str, labels: &str) -> Result<Known<Vec<Value>>, String> {
        self.pages(path, &format!("&labelSelector={labels}")).await
    }

    async fn pages<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<Known<Vec<T>>, String> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.ask::<Page<T>>(&format!("{path}?limit={PAGE}{query}{next}")).await;
            match page {
                Ok(page) => {
                    all.extend(page.items);
                    if page.metadata.next.is_empty() {
                        return Ok(Known::Yes(all));
                    }
                    // The API server's tokens are of letters that a query takes.
                    next = format!("&continue={}", page.metadata.next);
                }
                Err(Refusal::Absent) => return Ok(Known::Yes(all)),
                Err(Refusal::Denied(why)) => return Ok(Known::No(why)),
                Err(Refusal::Away(why)) => return Err(why),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let request =
            http::Request::get(path).body(Vec::new()).map_err(|error| Refusal::Away(error.to_string()))?;
        self.send(request).await
    }

    /// Sends a request, and reads what it answers.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout(WITHIN, self.client.request::<T>(request)).await {
            Err(_) => Err(Refusal::Away(format!("no answer within {} s", WITHIN.as_secs()))),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => Err(match status.code {
                404 => Refusal::Absent,
                401 | 403 => Refusal::Denied(status.message.clone()),
                _ => Refusal::Away(format!("{} {}", status.code, status.message)),
            }),
            Ok(Err(error)) => Err(Refusal::Away(chain(&error))),
        }
    }
}

/// Why there is no answer.
pub(super) enum Refusal {
    /// There is no such object or kind.
    Absent,
    /// The caller may not.
    Denied(String),
    /// The API server is away, or fails.
    Away(String),
}
