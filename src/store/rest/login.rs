//! What the logins of clouds have in common: a token file goes in, an access token comes out.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{Reply, Text, Token, Trouble, word};

/// The projected token of the service account, as it is now: the kubelet renews it.
pub(in super::super) async fn service_account_token(file: &Path) -> Result<Zeroizing<String>, Trouble> {
    let unreadable = |why: String| {
        Trouble::denied(format!("there is no service-account token: {}: {why}", file.display()))
    };
    let text = tokio::fs::read_to_string(file).await.map(Zeroizing::new);
    let text = text.map_err(|error| unreadable(error.kind().to_string()))?;
    match text.trim() {
        "" => Err(unreadable("it is empty".to_owned())),
        token => Ok(Zeroizing::new(token.to_owned())),
    }
}

/// What an OAuth 2.0 server grants (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: Text,
    #[serde(deserialize_with = "seconds")]
    expires_in: u64,
}

/// Services of instances write the number as text.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    match Seconds::deserialize(deserializer)? {
        Seconds::Number(seconds) => Ok(seconds),
        Seconds::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// How it refuses (section 5.2). The description is not repeated: it may quote the token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

/// The token that an OAuth 2.0 server grants. `who` is the server, `remedy` what to do where it refuses.
pub(in super::super) fn granted(
    reply: &Reply,
    who: &str,
    remedy: &str,
) -> Result<(Token, Duration), Trouble> {
    match reply.status {
        StatusCode::OK => {
            let granted: Granted = reply.read()?;
            let token = Token::new(granted.access_token.0)
                .ok_or_else(|| Trouble::unavailable(format!("{who} grants a token that is none")))?;
            Ok((token, Duration::from_secs(granted.expires_in)))
        }
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let Refused { error, error_description } = reply.read().unwrap_or_default();
            // Entra's descriptions begin with a number that can be looked up.
            let first = error_description.split(':').next().filter(|first| first.starts_with("AADSTS"));
            let words: Vec<&str> =
                [Some(error.as_str()), first].into_iter().flatten().filter_map(word).collect();
            let words = if words.is_empty() { reply.status.as_u16().to_string() } else { words.join(" ") };
            Err(Trouble::denied(format!("{who} refuses the login with {words}: {remedy}")))
        }
        other => Err(Trouble::unavailable(format!("{who} answers {} to the login", other.as_u16()))),
    }
}
