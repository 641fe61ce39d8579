//! Access tokens: had by logging in, kept until shortly before they expire, and had anew when they are refused.
//!
//! Invariants: of many that need a token at once one logs in, and the others are told what it was told, so that a login
//! that stalls costs each of them one attempt; a token is wiped, and is shown by nothing.

use std::fmt;
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::super::Answer;
use super::{Call, Client, Reply, Trouble};

/// A token is not used in its last seconds: the request has to arrive.
const MARGIN: Duration = Duration::from_secs(60);

/// An access token.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Token {
    /// `None` where the text cannot be in a header.
    pub(in super::super) fn new(text: Zeroizing<String>) -> Option<Self> {
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then_some(Self(text))
    }

    pub(super) fn header(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", *self.0));
        // Visible ASCII only, by `new`.
        let mut header = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"));
        header.set_sensitive(true);
        header
    }
}

/// Somebody who can log in.
pub(in super::super) trait Identity: fmt::Debug + Send + Sync {
    /// Logs in: the token, and for how long it holds.
    fn log_in(&self) -> Answer<'_, Result<(Token, Duration), Trouble>>;

    /// What to do where a token is refused though it is fresh.
    fn remedy(&self) -> &'static str;
}

/// A client with an identity.
#[derive(Debug)]
pub(in super::super) struct Session<I> {
    client: Client,
    /// None where nobody is asked who he is.
    identity: Option<I>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<(Token, Instant)>,
    failed: Option<(Trouble, Instant)>,
}

impl<I: Identity> Session<I> {
    pub(in super::super) fn new(client: Client, identity: Option<I>) -> Self {
        Self { client, identity, state: Mutex::default() }
    }

    /// Sends a request; logs in before where there is no token, and again where the token is refused.
    pub(in super::super) async fn call(&self, call: &Call) -> Result<Reply, Trouble> {
        let Some(identity) = &self.identity else { return self.client.send(call, None).await };
        let token = self.token(identity, None).await?;
        let reply = self.client.send(call, Some(&token)).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let token = self.token(identity, Some(&token)).await?;
        let reply = self.client.send(call, Some(&token)).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let host = call.url.host_str().unwrap_or_default();
        Err(Trouble::denied(format!("{host} refuses a fresh token: {}", identity.remedy())))
    }

    /// A token other than the `refused` one.
    async fn token(&self, identity: &I, refused: Option<&Token>) -> Result<Token, Trouble> {
        let since = Instant::now();
        let mut state = self.state.lock().await;
        if let Some((token, until)) = &state.held
            && refused != Some(token)
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        if let Some((trouble, at)) = &state.failed
            && *at > since
        {
            return Err(trouble.clone());
        }
        match identity.log_in().await {
            Ok((token, lifetime)) => {
                let until = Instant::now() + lifetime.saturating_sub(MARGIN);
                *state = State { held: Some((token.clone(), until)), failed: None };
                Ok(token)
            }
            Err(trouble) => {
                *state = State { held: None, failed: Some((trouble.clone(), Instant::now())) };
                Err(trouble)
            }
        }
    }
}
