//! The key of the hashes by which it is noted on consumers what they have read: made once, and kept in a Secret of
//! keystow's own namespace, which is there already and holds nothing else.
//!
//! Who takes it away loses what was noted: every consumer is then noted anew, and is told nothing of what changed between.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use thiserror::Error;
use tokio::sync::OnceCell;

use super::term::Workshop;
use crate::domain::SecretValue;
use crate::rotation::consumers::keyed;
use crate::store::StoreError;
use crate::store::kubernetes::{Changes, Connection, Written};

/// The Secret, and the key of its data.
const SECRET: &str = "keystow-rotate";
const KEY: &str = "salt";
const BYTES: usize = 32;
/// Digits of what it is known by.
const ID: usize = 8;
const ATTEMPTS: usize = 4;

/// Why there is none.
#[derive(Debug, Error)]
pub enum SaltError {
    /// The Secret is not there.
    #[error(
        "there is no Secret {SECRET} in namespace {0}, whose salt goes into what is noted on consumers; apply webhook-config/rotate, or give --no-restarts"
    )]
    Absent(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers; look at the node's kernel log")]
    Random,
    /// The API server.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others write all the time.
    #[error("somebody else wrote Secret {SECRET} in between; tried again")]
    Contended,
}

/// The key, read once a term.
pub(super) struct Salt {
    connection: Connection,
    namespace: String,
    is_dry: bool,
    known: OnceCell<Known>,
}

/// The key as it was read.
pub(super) struct Known {
    pub(super) value: SecretValue,
    /// What it is known by in notes.
    pub(super) id: String,
}

impl Known {
    fn of(value: SecretValue) -> Self {
        let mut id = keyed([&b""[..]], &value);
        id.truncate(ID);
        Self { value, id }
    }
}

impl Salt {
    pub(super) fn of(shop: &Workshop) -> Self {
        Self {
            connection: shop.connection.clone(),
            namespace: shop.cluster.namespace().to_owned(),
            is_dry: shop.turner.is_dry(),
            known: OnceCell::new(),
        }
    }

    /// The key.
    ///
    /// # Errors
    ///
    /// When it can neither be read nor made.
    pub(super) async fn known(&self) -> Result<&Known, SaltError> {
        self.known.get_or_try_init(async || self.read_or_make().await.map(Known::of)).await
    }

    /// A hash of a text.
    pub(super) async fn digest(&self, text: &str) -> Result<String, SaltError> {
        Ok(keyed([text.as_bytes()], &self.known().await?.value))
    }

    async fn read_or_make(&self) -> Result<SecretValue, SaltError> {
        for _ in 0..ATTEMPTS {
            let read = self.connection.read_secret(&self.namespace, SECRET).await?;
            let (object, _) = read.ok_or_else(|| SaltError::Absent(self.namespace.clone()))?;
            if let Some(salt) = object.data.get(KEY).filter(|salt| salt.expose().len() >= BYTES) {
                return Ok(salt.clone());
            }
            let mut bytes = vec![0; BYTES];
            rand::fill(&mut bytes).map_err(|_| SaltError::Random)?;
            let salt = SecretValue::new(bytes);
            // Nothing was noted with another one.
            if self.is_dry {
                return Ok(salt);
            }
            let changes = Changes { data: BTreeMap::from([(KEY, Some(&salt))]), ..Changes::default() };
            if self.connection.write_secret(&object, &changes).await? == Written::Done {
                return Ok(salt);
            }
        }
        Err(SaltError::Contended)
    }
}
