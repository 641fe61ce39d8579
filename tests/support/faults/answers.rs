//! What services answer when they will not serve, as their documentation has it: what clients tell apart.

use serde_json::{Value, json};

use super::Answer;

fn answer(status: u16, media_type: &str, body: &Value) -> Answer {
    let headers = vec![("content-type", media_type.to_owned())];
    Answer { status, headers, body: body.to_string().into() }
}

/// An answer of no service in particular, as gateways give it.
pub(crate) fn gateway(status: u16) -> Answer {
    let body = format!("<html><body><h1>{status}</h1></body></html>");
    Answer { status, headers: vec![("content-type", "text/html".to_owned())], body: body.into() }
}

/// An error of DynamoDB.
pub(crate) fn dynamodb(status: u16, kind: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    answer(status, "application/x-amz-json-1.0", &json!({"__type": kind, "message": "No."}))
}

/// An error of Secrets Manager or of the parameter store.
pub(crate) fn aws(status: u16, kind: &str) -> Answer {
    answer(status, "application/x-amz-json-1.1", &json!({"__type": kind, "message": "No."}))
}

/// DynamoDB throttles the caller.
pub(crate) fn dynamodb_throttled() -> Answer {
    dynamodb(400, "ThrottlingException")
}

/// The table has been asked for more than it was provisioned for.
pub(crate) fn dynamodb_exceeded() -> Answer {
    dynamodb(400, "ProvisionedThroughputExceededException")
}

/// The session with AWS is over.
pub(crate) fn dynamodb_expired() -> Answer {
    dynamodb(400, "ExpiredTokenException")
}

/// Secrets Manager or the parameter store throttles the caller.
pub(crate) fn aws_throttled() -> Answer {
    aws(400, "ThrottlingException")
}

/// A Status of the API server.
pub(crate) fn kubernetes(status: u16, reason: &str, retry_after: Option<u32>) -> Answer {
    let details = retry_after.map(|seconds| json!({"retryAfterSeconds": seconds}));
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "No.", "reason": reason, "details": details, "code": status,
    });
    let mut answer = answer(status, "application/json", &body);
    answer.headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
    answer
}

/// Priority and fairness has no place for the request.
pub(crate) fn kubernetes_throttled() -> Answer {
    kubernetes(429, "TooManyRequests", Some(1))
}

/// The token is not one, or no longer.
pub(crate) fn kubernetes_expired() -> Answer {
    kubernetes(401, "Unauthorized", None)
}

/// An error of Vault.
pub(crate) fn vault(status: u16, errors: &[&str]) -> Answer {
    answer(status, "application/json", &json!({"errors": errors}))
}

/// A rate limit quota is used up.
pub(crate) fn vault_throttled() -> Answer {
    let mut answer = vault(429, &["request path: rate limit quota exceeded"]);
    answer.headers.push(("retry-after", "1".to_owned()));
    answer
}

/// Vault has been sealed.
pub(crate) fn vault_sealed() -> Answer {
    vault(503, &["Vault is sealed"])
}

/// What a token that has expired gets, and one that may not: Vault does not tell them apart.
pub(crate) fn vault_denied() -> Answer {
    vault(403, &["permission denied"])
}

/// An error of Key Vault.
pub(crate) fn azure(status: u16, code: &str) -> Answer {
    answer(status, "application/json", &json!({"error": {"code": code, "message": "No."}}))
}

/// Key Vault throttles the caller.
pub(crate) fn azure_throttled() -> Answer {
    let mut answer = azure(429, "Throttled");
    answer.headers.push(("retry-after", "1".to_owned()));
    answer
}

/// An error of Google's services.
pub(crate) fn gcp(code: u16, status: &str) -> Answer {
    answer(code, "application/json", &json!({"error": {"code": code, "message": "No.", "status": status}}))
}

/// Secret Manager throttles the caller.
pub(crate) fn gcp_throttled() -> Answer {
    gcp(429, "RESOURCE_EXHAUSTED")
}
