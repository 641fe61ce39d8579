//! `keystow rotate`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::replica::{ReplicaArguments, object_name};
use super::start::{LogArguments, threads};
use super::{EX_DATAERR, EX_NOINPUT, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, Failure, core_dumps, write_result};
use crate::config;
use crate::controller::rotate::consumers::{ConsumerError, Workload};
use crate::controller::rotate::metrics::Reason;
use crate::controller::rotate::run::{self, NotListed, Once, Rotator, RunError, Settings};
use crate::controller::rotate::turn::{Change, Outcome, Place, TurnError, Turned, Wish};
use crate::domain::parse_duration;
use crate::shutdown;
use crate::telemetry;

const MOST_THREADS: usize = 2;

/// Let keys in Secrets turn over, without a broken token.
///
/// A Secret that is annotated with
///   rotate.bsycorp.com/type: RSA          (or EC, ED25519, RANDOM, PASSWORD)
///   rotate.bsycorp.com/size: "2048"       (in bits, as in secret.bsycorp.com)
///   rotate.bsycorp.com/every: 90d         (how long a key signs)
///   rotate.bsycorp.com/overlap: 24h       (at least the longest lifetime of a token)
/// has its keys kept: a new key is published 10 minutes (rotate.bsycorp.com/publish)
/// before it signs, in new.key; the one before it verifies until the last token that
/// it signed has expired, in old.key. jwks.json and issuers.yaml say which keys there
/// are, in order: the first signs.
///
/// A Secret with rotate.bsycorp.com/token-of has a token, signed by the key that signs.
/// What reads a changed Secret by its environment is started anew.
///
/// Without --once it is a controller: one replica works, elected by a Lease. SIGTERM
/// finishes what is under way and exits 0; a second signal aborts.
///
/// With --once, --force, --revoke or --dry-run it does what is due, says what it did,
/// and exits. Exit codes: 64 wrong flags or configuration, or no API server known; 65
/// annotations or keys are wrong, or what was asked for cannot be; 66 there is no such
/// Secret; 69 the API server is away; 77 it denies access.
///
/// Examples:
///   keystow rotate --dry-run
///   keystow rotate --once --watch-namespace shop
///   keystow rotate --secret shop/iam-signing-keys --force
///   keystow rotate --secret shop/iam-signing-keys --revoke KEY-ID
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// The operator's configuration file, that of the webhook; of it, the annotation domain.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// Give every Secret that asks for it one turn, and exit. No election is held.
    #[arg(long)]
    once: bool,
    /// Only this Secret: NAMESPACE/NAME, or NAME in the namespace of the credentials. It has one turn.
    #[arg(long, value_name = "SECRET", value_parser = secret)]
    secret: Option<Named>,
    /// Publish a new key now, although none is due. It signs when everybody has had time to see it.
    #[arg(long, requires = "secret", conflicts_with = "revoke")]
    force: bool,
    /// Take a key out that must not be believed any more, whatever it signed. Where it is the one that signs, another signs at
    /// once.
    #[arg(long, requires = "secret", value_name = "KEY-ID", allow_hyphen_values = true)]
    revoke: Option<String>,
    /// Say what would be done, and write nothing. A key that would be made is called NEW.
    #[arg(long)]
    dry_run: bool,
    /// Restart no workload that reads a changed Secret by its environment, and sync no ExternalSecret.
    #[arg(long)]
    no_restarts: bool,
    /// How to say what was done.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Look at the Secrets of this namespace alone; can be given several times, or with commas between names.
    #[arg(
        long,
        value_name = "NAMESPACE",
        env = "KEYSTOW_WATCH_NAMESPACE",
        value_delimiter = ',',
        value_parser = object_name
    )]
    watch_namespace: Vec<String>,
    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "KEYSTOW_ADMIN")]
    admin: SocketAddr,
    /// How long what is under way may take after SIGTERM.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_duration)]
    grace: Duration,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    replica: ReplicaArguments,
    /// The Lease whose holder works.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "keystow-rotate",
        env = "KEYSTOW_LEASE",
        value_parser = object_name,
        help_heading = "In a cluster"
    )]
    lease: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A Secret as it was named.
#[derive(Debug, Clone)]
struct Named {
    namespace: Option<String>,
    name: String,
}

fn secret(text: &str) -> Result<Named, &'static str> {
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(object_name(namespace)?), name),
        None => (None, text),
    };
    Ok(Named { namespace, name: object_name(name)? })
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let configuration =
        config::load(arguments.config.as_deref()).map_err(|error| Failure::new(EX_USAGE, error))?;
    let is_once = arguments.once || arguments.dry_run || arguments.secret.is_some();
    if !is_once {
        arguments.log.begin()?;
    }
    core_dumps::forbid();
    let domain = configuration.offline().domain;
    let settings = Settings {
        admin: arguments.admin,
        cluster: arguments.replica.settings(arguments.lease),
        domain,
        namespaces: arguments.watch_namespace,
        is_dry: arguments.dry_run,
        tells: !arguments.no_restarts,
        grace: arguments.grace,
    };
    let runtime = threads(MOST_THREADS)?;
    if !is_once {
        return runtime.block_on(work(settings));
    }
    let wish = match (arguments.force, arguments.revoke) {
        (true, _) => Wish::Force,
        (false, Some(id)) => Wish::Revoke(id),
        (false, None) => Wish::Scheduled,
    };
    let (is_dry, is_of_one) = (settings.is_dry, arguments.secret.is_some());
    let once = runtime.block_on(run::once(settings, arguments.secret.map(place), &wish));
    let once = once.map_err(|error| failure(&error))?;
    write_result(&match arguments.format {
        Format::Text => text(&once, is_dry, is_of_one),
        Format::Json => format!("{:#}\n", json(&once)),
    })?;
    verdict(&once)
}

async fn work(settings: Settings) -> Result<(), Failure> {
    let shutdown =
        shutdown::on_signals().map_err(|error| Failure::new(EX_UNAVAILABLE, telemetry::chain(&error)))?;
    let rotator = Rotator::new(settings).await.map_err(|error| failure(&error))?;
    rotator.run(shutdown).await.map_err(|error| failure(&error))
}

fn place(named: Named) -> (Option<String>, String) {
    (named.namespace, named.name)
}

fn failure(error: &RunError) -> Failure {
    let code = match error {
        RunError::Cluster(_) | RunError::Secrets(_) => EX_USAGE,
        RunError::NotListed(NotListed::Refused(error)) if error.is_forbidden() => EX_NOPERM,
        RunError::Process(_) | RunError::NotListed(_) => EX_UNAVAILABLE,
    };
    Failure::new(code, telemetry::chain(error))
}

/// Fails where a turn did; what needs a person most comes first.
fn verdict(once: &Once) -> Result<(), Failure> {
    let failed = once.secrets.iter().filter_map(|(place, result)| Some((place, result.as_ref().err()?)));
    let failed: Vec<(&Place, &TurnError)> = failed.collect();
    let codes: BTreeSet<u8> = failed.iter().map(|(_, error)| code(error.reason())).collect();
    let worst =
        [EX_NOPERM, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE].into_iter().find(|code| codes.contains(code));
    let Some(worst) = worst else {
        let untold = |error: &ConsumerError| {
            let reason = telemetry::chain(error);
            let message = format!("not everybody was told who reads a Secret once: {reason}");
            Err(Failure::new(code(error.reason()), message))
        };
        return once.untold.as_ref().map_or(Ok(()), untold);
    };
    let lines = failed
        .iter()
        .map(|((namespace, name), error)| format!("{namespace}/{name}: {}", telemetry::chain(*error)));
    Err(Failure::new(worst, lines.collect::<Vec<_>>().join("\nerror: ")))
}

fn code(reason: Reason) -> u8 {
    match reason {
        Reason::Annotations | Reason::Keys | Reason::Refused => EX_DATAERR,
        Reason::Absent => EX_NOINPUT,
        Reason::Denied => EX_NOPERM,
        Reason::Generator | Reason::Unavailable => EX_UNAVAILABLE,
    }
}

fn text(once: &Once, is_dry: bool, is_of_one: bool) -> String {
    let mut text = String::new();
    if once.secrets.is_empty() {
        text.push_str("no Secret asks for rotation (annotate one with rotate.DOMAIN/type)\n");
    }
    for ((namespace, name), result) in &once.secrets {
        let Ok(turned) = result else { continue };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{namespace}/{name}{}", if is_dry { " (nothing is written)" } else { "" });
        let outcome = match turned {
            Turned::Keys(outcome) => outcome,
            Turned::Token(outcome) => {
                let _ = match &outcome.signed_by {
                    Some(key) => writeln!(text, "  a new token, signed by {key}"),
                    None => writeln!(text, "  nothing is due"),
                };
                let _ = writeln!(text, "  next token: {:.0}", outcome.next);
                continue;
            }
        };
        for change in &outcome.changes {
            let _ = writeln!(text, "  {change}");
        }
        if outcome.changes.is_empty() {
            text.push_str("  nothing is due\n");
        }
        for line in keys(outcome) {
            let _ = writeln!(text, "    {line}");
        }
        let _ = writeln!(text, "  next change: {:.0}", outcome.next);
    }
    for (Workload { kind, namespace, name }, changed) in &once.restarted {
        let kind = kind.as_str();
        let _ = writeln!(text, "{kind} {namespace}/{name} starts anew, since {} changed", changed.join(", "));
    }
    for object in &once.synced {
        let _ = writeln!(text, "{object} is told that a Secret changed");
    }
    let changed = |turned: &Turned| matches!(turned, Turned::Keys(outcome) if !outcome.changes.is_empty());
    if is_of_one && !is_dry && once.secrets.values().flatten().any(changed) {
        text.push_str(
            "tokens of these keys and workloads that read them once follow by the controller; without one: keystow rotate --once\n",
        );
    }
    text
}

/// The keys in order, and what each is for.
fn keys(outcome: &Outcome) -> Vec<String> {
    let set = &outcome.set;
    let mut lines = vec![format!("signs     {} since {:.0}", set.signing.key.id, set.signing.since)];
    let next = set.next.iter();
    lines.extend(next.map(|next| format!("verifies  {} and signs from {:.0} on", next.key.id, next.signs)));
    let former = set.former.iter();
    lines.extend(former.map(|former| format!("verifies  {} until {:.0}", former.key.id, former.retires)));
    lines
}

fn json(once: &Once) -> Value {
    let secrets = once.secrets.iter().map(|((namespace, name), result)| {
        let mut secret = json!({"namespace": namespace, "name": name});
        match result {
            Err(error) => {
                secret["error"] = json!({
                    "reason": error.reason().as_str(),
                    "message": telemetry::chain(error),
                });
            }
            Ok(Turned::Token(outcome)) => {
                secret["signedBy"] = json!(outcome.signed_by);
                secret["nextChange"] = json!(outcome.next.to_string());
            }
            Ok(Turned::Keys(outcome)) => {
                let set = &outcome.set;
                secret["changes"] = outcome.changes.iter().map(change_json).collect();
                secret["signing"] = json!({"id": set.signing.key.id, "since": set.signing.since.to_string()});
                secret["next"] = set
                    .next
                    .as_ref()
                    .map_or(Value::Null, |next| json!({"id": next.key.id, "signs": next.signs.to_string()}));
                let former = set.former.iter();
                secret["former"] = former
                    .map(|former| json!({"id": former.key.id, "retires": former.retires.to_string()}))
                    .collect();
                secret["nextChange"] = json!(outcome.next.to_string());
            }
        }
        secret
    });
    let restarted = once.restarted.iter().map(|(Workload { kind, namespace, name }, changed)| {
        json!({"kind": kind.as_str(), "namespace": namespace, "name": name, "changed": changed})
    });
    json!({
        "secrets": secrets.collect::<Vec<_>>(),
        "restarted": restarted.collect::<Vec<_>>(),
        "synced": once.synced,
    })
}

fn change_json(change: &Change) -> Value {
    match change {
        Change::Adopted => json!({"change": "adopted"}),
        Change::Published { id, signs } => {
            json!({"change": "published", "id": id, "signs": signs.to_string()})
        }
        Change::Signs { id } => json!({"change": "signs", "id": id}),
        Change::Retired { id } => json!({"change": "retired", "id": id}),
        Change::Revoked { id } => json!({"change": "revoked", "id": id}),
    }
}
