//! A webhook that decides nothing: the server of the library around an answer that is there already.
//!
//! Flow: what `keystow webhook` does - log, threads, [`run`] - with another [`Review`].
//!
//! `--answer same` gives every review what keystow decided about the first one, so that whoever receives the answers
//! has the same work with them; `--answer allowed` allows everything as it is. The uid is the request's either way,
//! found without parsing: it is the first in a review as the API server writes it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use clap::{Parser as _, ValueEnum};
use keystow::certs::CertificateSource;
use keystow::certs::load::{CertPath, KeyPath};
use keystow::telemetry::traces::Traces;
use keystow::telemetry::{self, LogSettings};
use keystow::webhook::injector::Injector;
use keystow::webhook::review::{Answer, Operation, Outcome, Record, Review};
use keystow::webhook::run::{Settings, run};
use keystow::{config, shutdown};

/// Those flags of `keystow webhook` that the benchmark gives, and one more.
#[derive(clap::Parser)]
struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    admin: SocketAddr,
    #[arg(long)]
    tls_cert: PathBuf,
    #[arg(long)]
    tls_key: PathBuf,
    #[arg(long)]
    answer: Kind,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Allowed,
    Same,
}

/// The text before and after the uid, and what is logged of it.
struct Template {
    before: String,
    after: String,
    record: Record,
}

struct Constant {
    kind: Kind,
    template: OnceLock<Template>,
}

impl Review for Constant {
    fn answer(&self, body: &[u8]) -> Answer {
        let Some(uid) = uid(body) else { return Answer::Malformed("there is no uid".to_owned()) };
        let template = self.template.get_or_init(|| self.kind.template(body, uid));
        let Template { before, after, record } = template;
        let body = [before.as_str(), uid, after].concat().into_bytes();
        Answer::Reviewed { body, record: Record { uid: uid.to_owned(), ..record.clone() } }
    }
}

impl Kind {
    fn template(self, body: &[u8], uid: &str) -> Template {
        let (answer, record) = match self {
            Self::Allowed => allowed(uid),
            Self::Same => decided(body),
        };
        let (before, after) = answer.split_once(uid).expect("the request's uid in the answer");
        Template { before: before.to_owned(), after: after.to_owned(), record }
    }
}

fn allowed(uid: &str) -> (String, Record) {
    let answer = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":true}}}}"#
    );
    let record = Record {
        uid: uid.to_owned(),
        namespace: "demo".to_owned(),
        pod: "kees-example".to_owned(),
        operation: Operation::Create,
        dry_run: false,
        outcome: Outcome::Unchanged,
        operations: 0,
        warnings: 0,
    };
    (answer, record)
}

fn decided(body: &[u8]) -> (String, Record) {
    let settings = config::read("").unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    match Injector::new(settings.offline()).answer(body) {
        Answer::Reviewed { body, record } => (String::from_utf8(body).expect("JSON"), record),
        Answer::Malformed(error) => panic!("the first review: {error}"),
    }
}

fn uid(body: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once(r#""uid":""#)?;
    Some(rest.split_once('"')?.0)
}

/// Serves until a signal; `arguments` begin with the command's name.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Arguments { listen, admin, tls_cert, tls_key, answer } = Arguments::parse_from(arguments);
    telemetry::init(&LogSettings::default()).expect("a log");
    let files = CertificateSource::Files { cert: CertPath::new(tls_cert), key: KeyPath::new(tls_key) };
    let settings = Settings { listen, admin, ..Settings::new(files) };
    let review = Arc::new(Constant { kind: answer, template: OnceLock::new() });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().expect("signals");
        run(settings, review, Traces::default(), shutdown).await.expect("a webhook that serves");
    });
    ExitCode::SUCCESS
}
