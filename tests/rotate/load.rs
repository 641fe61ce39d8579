//! Tokens are issued and verified all the time while keys turn over, and controllers are killed at any instant.
//!
//! Whoever issues or verifies keeps what it read of the Secret for no longer than `publish`, as readers of files and caches of
//! public keys do; one that was held up for longer reads anew before it goes on.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use super::fixture::{Cluster, issuers};
use crate::support::process::Process;
use crate::support::random::Random;
use crate::support::wait::until;

const PUBLISH: Duration = Duration::from_secs(3);
/// How long a token is valid. The overlap is a second longer, which tokens' whole seconds take.
const LIFETIME: u64 = 4;
const ISSUERS: usize = 2;
const VERIFIERS: usize = 3;
const ROTATIONS: usize = 3;

/// A token, and until when it is valid.
struct Token {
    text: String,
    expires: u64,
}

#[derive(Default)]
struct Load {
    tokens: Mutex<Vec<Token>>,
    issued: AtomicUsize,
    verified: AtomicUsize,
    signers: Mutex<BTreeSet<String>>,
    is_over: AtomicBool,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Signs with the first issuer of the list, as token issuers do.
async fn issue(cluster: &Cluster, load: &Load) {
    while !load.is_over.load(Ordering::Relaxed) {
        let read = Instant::now();
        let data = cluster.data("keys").await;
        let first = issuers(&data)[0].clone();
        let der = pem::parse(&data[first["signingKey"].as_str().unwrap()]).unwrap().into_contents();
        let key = EncodingKey::from_ed_der(&der);
        load.signers.lock().unwrap().insert(first["kid"].as_str().unwrap().to_owned());
        while read.elapsed() < PUBLISH / 2 && !load.is_over.load(Ordering::Relaxed) {
            let header = Header {
                kid: Some(first["kid"].as_str().unwrap().to_owned()),
                ..Header::new(Algorithm::EdDSA)
            };
            let expires = now() + LIFETIME;
            let text =
                jsonwebtoken::encode(&header, &json!({"iss": first["name"], "exp": expires}), &key).unwrap();
            // Held up in between: by now it might not have signed with this key.
            if read.elapsed() < PUBLISH {
                load.tokens.lock().unwrap().push(Token { text, expires });
                load.issued.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Verifies with the public keys alone, by the id that the token names.
async fn verify(cluster: &Cluster, load: &Load, seed: u64) {
    let mut random = Random(seed + 1);
    while !load.is_over.load(Ordering::Relaxed) {
        let read = Instant::now();
        let data = cluster.data("keys").await;
        let keys: JwkSet = serde_json::from_str(&data["jwks.json"]).unwrap();
        let lines = issuers(&data);
        while read.elapsed() < PUBLISH / 2 && !load.is_over.load(Ordering::Relaxed) {
            let picked = {
                let mut tokens = load.tokens.lock().unwrap();
                let now = now();
                tokens.retain(|token| token.expires > now);
                let at = usize::try_from(random.next()).unwrap() % tokens.len().max(1);
                tokens.get(at).map(|token| (token.text.clone(), token.expires))
            };
            if let Some((text, expires)) = picked {
                let verdict = check(&keys, &lines, &text);
                // Held up in between: then it had to read anew, or the token is not valid any more.
                if read.elapsed() < PUBLISH && now() < expires {
                    verdict.unwrap_or_else(|reason| panic!("a valid token was refused: {reason}"));
                    load.verified.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn check(keys: &JwkSet, issuers: &[Value], token: &str) -> Result<(), String> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let id = header.kid.ok_or("no kid")?;
    let key = keys.find(&id).ok_or_else(|| format!("no public key {id}"))?;
    let line = issuers.iter().find(|line| line["kid"] == id.as_str()).ok_or("no issuer")?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[line["name"].as_str().unwrap()]);
    validation.leeway = 0;
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    jsonwebtoken::decode::<Value>(token, &key, &validation).map(drop).map_err(|error| error.to_string())
}

/// Starts one after the other, and kills each within `longest`.
async fn kill_all(
    cluster: &Cluster,
    load: &Load,
    killed: &AtomicUsize,
    longest: Duration,
    start: impl Fn(&Cluster) -> Process,
) {
    let mut random = Random(longest.as_secs() + 1);
    while !load.is_over.load(Ordering::Relaxed) {
        let mut process = start(cluster);
        // One that is done before is no failure: it is to be killed in the middle of its work, not after.
        if tokio::time::timeout(random.time(longest), process.status()).await.is_err() {
            process.signal("KILL").await;
            killed.fetch_add(1, Ordering::Relaxed);
            process.status().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_rotations_by_controllers_that_are_killed_refuse_no_valid_token() {
    let Some(cluster) = Cluster::start("load").await else { return };
    let annotations =
        [("type", "ED25519"), ("every", "8s"), ("publish", "3s"), ("overlap", "5s"), ("keep", "2")];
    cluster.create("keys", &annotations, &[]).await;
    cluster.done(&["--once"]).await;
    let load = Load::default();
    let killed = AtomicUsize::new(0);
    let runs = kill_all(&cluster, &load, &killed, Duration::from_millis(400), |cluster| {
        cluster.process("once", &["--once"])
    });
    let leaders =
        kill_all(&cluster, &load, &killed, Duration::from_secs(12), |cluster| cluster.controller("leader"));
    let end = async {
        let turned = until(Duration::from_secs(240), async || {
            (load.signers.lock().unwrap().len() > ROTATIONS).then_some(())
        });
        let is_turned = turned.await.is_some();
        load.is_over.store(true, Ordering::Relaxed);
        assert!(is_turned, "{} signers", load.signers.lock().unwrap().len());
    };
    let issuing = futures::future::join_all((0..ISSUERS).map(|_| issue(&cluster, &load)));
    let verifying =
        futures::future::join_all((0..VERIFIERS).map(|seed| verify(&cluster, &load, seed as u64)));
    futures::join!(runs, leaders, end, issuing, verifying);
    let (issued, verified) = (load.issued.into_inner(), load.verified.into_inner());
    // On stderr itself: figures to follow from build to build.
    let figures =
        format!("rotation: {issued} tokens issued, {verified} verified, {} kills\n", killed.into_inner());
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
    assert!(issued > 1_000 && verified > 1_000, "{issued} issued, {verified} verified");
}
