//! New keys and their ids.

use std::time::SystemTime;

use aws_lc_rs::rand;

use super::turn::TurnError;
use crate::domain::{Recipe, hex};
use crate::generate::fresh::{self, GenerateError};
use crate::rotation::Material;

/// What a key is called that a dry run would have made.
const ID_OF_A_DRY_RUN: &str = "NEW";

/// Makes keys.
#[derive(Clone, Copy)]
pub(super) struct Maker<'r> {
    pub(super) recipe: &'r Recipe,
    pub(super) is_dry: bool,
}

impl Maker<'_> {
    /// A new key and its id. RSA takes up to seconds of a processor, on a thread that may wait. In a dry run the key is for
    /// nobody, and so its id would be one that is never seen again.
    pub(super) async fn make(self) -> Result<(String, Material), TurnError> {
        let recipe = self.recipe.clone();
        let made = tokio::task::spawn_blocking(move || {
            let mut parts = fresh::make(&recipe, SystemTime::now())?;
            // The last part is the private half, or the only one.
            let value = parts.pop().ok_or(GenerateError::Random)?;
            match recipe {
                Recipe::Rsa(_) | Recipe::Ec(_) | Recipe::Ed25519 => Ok(Material::of_pkcs8(&value)?),
                _ => Ok(Material::Value(value)),
            }
        });
        // It ends otherwise only when the process does.
        let material: Material = made.await.unwrap_or(Err(TurnError::Generate(GenerateError::Random)))?;
        let id = match material.thumbprint() {
            _ if self.is_dry => ID_OF_A_DRY_RUN.to_owned(),
            Some(thumbprint) => thumbprint.to_owned(),
            None => chance(),
        };
        Ok((id, material))
    }
}

/// An id that says nothing.
pub(super) fn chance() -> String {
    let mut bytes = [0_u8; 16];
    // Without chance no key is made either, so an id that is all zeros is never written.
    let _ = rand::fill(&mut bytes);
    hex(&bytes)
}
