//! Who we are to Vault: a token of our own, got for the token of the service account.
//!
//! ```text
//! token file ─▶ auth/MOUNT/login ─▶ client token ─▶ … nearly over, or refused ─▶ log in once more
//! ```
//!
//! Invariants: the file is read each time, since somebody renews it; a token is used until shortly before its lease is
//! over; many requests that are refused at once log in once; tokens are wiped when they are dropped.
//!
//! Deliberately absent: renewing leases, and revoking the token at the end. A login costs the same as a renewal and is
//! needed anyway; and a token whose lease is short goes away by itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::wire::{Answer, Call, Http, Trouble, not_vault, sensitive};
use crate::domain::SecretValue;
use crate::handover::{VaultAuth, VaultLogin};
use crate::store::json;

/// A token is not used in the last tenth of its lease, nor in more than the last half minute.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);
/// No token file is longer: one for many groups has 8 KiB.
const LONGEST_TOKEN: usize = 64 << 10;
/// Beyond what a clock can tell.
const LONGEST_LEASE: u64 = 10 * 365 * 86_400;

/// How to get a token.
#[derive(Debug)]
pub(super) enum Identity {
    /// By the token of the service account in this file.
    Login(VaultLogin, PathBuf),
    /// It is in this file.
    File(PathBuf),
}

/// A client token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    /// None where the server names no end.
    until: Option<Instant>,
}

/// The token that is current, if any.
pub(super) struct Session {
    identity: Identity,
    current: Mutex<Option<Token>>,
}

#[derive(Deserialize)]
struct LoggedIn<'b> {
    #[serde(borrow)]
    auth: Auth<'b>,
}

#[derive(Deserialize)]
struct Auth<'b> {
    client_token: &'b str,
    #[serde(default)]
    lease_duration: u64,
}

impl Identity {
    /// None where the login needs a token and there is none.
    pub(super) fn of(auth: &VaultAuth, token_file: Option<&Path>) -> Option<Self> {
        Some(match auth {
            VaultAuth::Kubernetes(login) | VaultAuth::Jwt(login) => {
                Self::Login(login.clone(), token_file?.to_owned())
            }
            VaultAuth::TokenFile(file) => Self::File(file.into()),
        })
    }
}

impl Token {
    fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Session {
    pub(super) fn new(identity: Identity) -> Self {
        Self { identity, current: Mutex::default() }
    }

    /// A token that should do.
    pub(super) async fn token(&self, http: &Http) -> Result<Token, Trouble> {
        let mut current = self.current.lock().await;
        if let (Some(token), Identity::Login(..)) = (&*current, &self.identity)
            && token.is_good()
        {
            return Ok(token.clone());
        }
        let token = self.identity.token(http).await?;
        *current = Some(token.clone());
        Ok(token)
    }

    /// Another token than one that was refused; none where there is no other.
    pub(super) async fn after(&self, refused: &Token, http: &Http) -> Result<Option<Token>, Trouble> {
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref().filter(|token| token.header != refused.header) {
            return Ok(Some(token.clone()));
        }
        let token = self.identity.token(http).await?;
        *current = Some(token.clone());
        Ok(Some(token).filter(|token| token.header != refused.header))
    }
}

impl Identity {
    async fn token(&self, http: &Http) -> Result<Token, Trouble> {
        match self {
            Self::Login(login, file) => log_in(login, &read(file).await?, http).await,
            Self::File(file) => {
                let text = Zeroizing::new(read(file).await?.as_bytes().to_vec());
                let header = sensitive(text).ok_or_else(|| {
                    Trouble::unavailable(format!("{} holds what is no token", file.display()))
                })?;
                Ok(Token { header, until: None })
            }
        }
    }
}

/// What is in a file, without the blanks around it.
async fn read(file: &Path) -> Result<Zeroizing<String>, Trouble> {
    let cannot = |reason: &dyn fmt::Display| {
        Trouble::unavailable(format!("the token in {} cannot be read: {reason}", file.display()))
    };
    let bytes = Zeroizing::new(tokio::fs::read(file).await.map_err(|error| cannot(&error))?);
    match std::str::from_utf8(&bytes).map(str::trim) {
        Ok("") => Err(cannot(&"it is empty")),
        Ok(text) if bytes.len() <= LONGEST_TOKEN => Ok(Zeroizing::new(text.to_owned())),
        _ => Err(cannot(&"it holds what is no token")),
    }
}

async fn log_in(login: &VaultLogin, jwt: &str, http: &Http) -> Result<Token, Trouble> {
    let (role, secret) = (value(&login.role), value(jwt));
    let body = json::write(&json::Fields::new(), &[("role", &role), ("jwt", &secret)]);
    let body = Zeroizing::new(body.expose().to_vec());
    let call = Call::post(format!("auth/{}/login", login.mount), body, "\"create\", \"update\"");
    let answer = http.send(&call, None, jwt.as_bytes()).await.map_err(|trouble| to_log_in(trouble, login))?;
    if !answer.status.is_success() {
        return Err(refused(&answer, &call, login));
    }
    let silent = || to_log_in(not_vault(answer.status), login);
    let LoggedIn { auth } = serde_json::from_slice(&answer.body).map_err(|_| silent())?;
    let header = sensitive(Zeroizing::new(auth.client_token.as_bytes().to_vec())).ok_or_else(silent)?;
    let lease = Duration::from_secs(auth.lease_duration.min(LONGEST_LEASE));
    let until = (!lease.is_zero()).then(|| Instant::now() + lease - (lease / 10).min(LONGEST_MARGIN));
    Ok(Token { header, until })
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

/// Who is refused at the login is refused for good; what waiting helps against stays.
fn refused(answer: &Answer, call: &Call, login: &VaultLogin) -> Trouble {
    match answer.trouble(call) {
        trouble @ Trouble::Unavailable { .. } => to_log_in(trouble, login),
        Trouble::Denied(_) | Trouble::Invalid(_) => Trouble::Denied(format!(
            "Vault refuses the login with the role {} at auth/{}: {}; see what the role is bound to (service accounts, \
             namespaces, audience), and that Vault can check tokens",
            login.role,
            login.mount,
            answer.told()
        )),
    }
}

fn to_log_in(trouble: Trouble, login: &VaultLogin) -> Trouble {
    match trouble {
        Trouble::Unavailable { reason, retry_after } => Trouble::Unavailable {
            reason: format!("logging in at auth/{}: {reason}", login.mount),
            retry_after,
        },
        other => other,
    }
}
