//! The decision behind `POST /mutate`: bytes of an `AdmissionReview` in, bytes of its answer out.
//!
//! ```text
//! bytes ─▶ envelope and pod in one borrowed pass ─▶ inject::plan ─▶ answer with the request's uid
//! ```
//!
//! Once the uid is known, every outcome is an answer to it: the API server rejects an answer with another uid and
//! would let `failurePolicy` decide instead of us. No object and no value of an annotation is logged.

use std::borrow::Cow;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use super::review::{Answer, DenialReason, Operation, Outcome, Record, Review};
use crate::domain::Warning;
use crate::inject::{DenialKind, Plan, Pod, Settings, Verdict, plan, to_json_patch};

/// Decides with the injection of [`crate::inject`].
#[derive(Debug)]
pub struct Injector {
    settings: Settings,
}

/// `admission.k8s.io/v1` `AdmissionReview`, as far as it is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, O> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    request: Option<Request<'a, O>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a, O> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    operation: Cow<'a, str>,
    #[serde(borrow, default)]
    sub_resource: Cow<'a, str>,
    dry_run: Option<bool>,
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
    object: Option<O>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow, default)]
    resource: Cow<'a, str>,
}

impl<O> Request<'_, O> {
    /// Whether the configuration that called us is ours: pods, when they are created.
    fn is_pod_creation(&self) -> bool {
        let resource = self.resource.as_ref();
        self.operation == "CREATE"
            && self.sub_resource.is_empty()
            && resource.is_none_or(|resource| resource.group.is_empty() && resource.resource == "pods")
    }

    fn record(&self, pod: &str) -> Record {
        Record {
            uid: self.uid.clone().into_owned(),
            namespace: self.namespace.clone().into_owned(),
            pod: if self.name.is_empty() { pod } else { &self.name }.to_owned(),
            operation: Operation::read(&self.operation),
            dry_run: self.dry_run.unwrap_or_default(),
            outcome: Outcome::Unchanged,
            operations: 0,
            warnings: 0,
        }
    }
}

/// The answer as JSON, but for the patch, which [`reply`] appends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_annotations: Option<AuditAnnotations<'a>>,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    reason: &'static str,
    code: u16,
    message: String,
}

#[derive(Serialize)]
struct AuditAnnotations<'a> {
    injected: String,
    hash: &'a str,
}

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// How a [`Reply`] ends: the response is its last field.
const REPLY_END: &str = "}}";

impl Injector {
    /// An injector with the operator's settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    fn decide(&self, request: &Request<'_, Pod<'_>>) -> Answer {
        let Some(pod) = request.object.as_ref().filter(|_| request.is_pod_creation()) else {
            let warning = "keystow injects pods when they are created; this request is none of that".into();
            return reply(Response { warnings: vec![warning], ..allowed(request) }, None, request.record(""));
        };
        let mut record = request.record(pod.name());
        match plan(pod, &request.namespace, &self.settings) {
            Ok(Verdict::Skip(_)) => reply(allowed(request), None, record),
            Ok(Verdict::Inject(plan)) => inject(request, &plan, record),
            Err(denial) => {
                record.outcome = Outcome::Denied(reason(denial.kind));
                let response = Response {
                    allowed: false,
                    status: Some(refusal(bounded(&denial.messages))),
                    warnings: warnings(&denial.warnings),
                    ..allowed(request)
                };
                reply(response, None, record)
            }
        }
    }
}

impl Review for Injector {
    fn answer(&self, body: &[u8]) -> Answer {
        // JSON is UTF-8 throughout, also where nothing is read.
        let Ok(body) = std::str::from_utf8(body) else {
            return Answer::Malformed("the body is not JSON: it is not UTF-8".to_owned());
        };
        let failure = match serde_json::from_str::<Envelope<'_, Pod<'_>>>(body) {
            Ok(envelope) => match check(&envelope) {
                Ok(request) => return self.decide(request),
                Err(message) => return Answer::Malformed(message),
            },
            Err(failure) => failure,
        };
        // Perhaps only the pod is not as it should be: then there is a uid to answer to.
        match serde_json::from_str::<Envelope<'_, serde::de::IgnoredAny>>(body) {
            Ok(envelope) => match check(&envelope) {
                Ok(request) => unreadable(request, &failure),
                Err(message) => Answer::Malformed(message),
            },
            Err(failure) => {
                Answer::Malformed(format!("the body is not an AdmissionReview: {}", place(&failure)))
            }
        }
    }
}

fn check<'e, 'a, O>(envelope: &'e Envelope<'a, O>) -> Result<&'e Request<'a, O>, String> {
    let found = |text: &str| text.chars().take(64).collect::<String>();
    if envelope.kind != KIND {
        return Err(format!("kind {:?} is not {KIND}", found(&envelope.kind)));
    }
    if envelope.api_version != API_VERSION {
        return Err(format!("apiVersion {:?} is not {API_VERSION}", found(&envelope.api_version)));
    }
    envelope.request.as_ref().ok_or_else(|| "the AdmissionReview has no request".to_owned())
}

fn allowed<'a, O>(request: &'a Request<'_, O>) -> Response<'a> {
    Response { uid: &request.uid, allowed: true, ..Response::default() }
}

fn inject(request: &Request<'_, Pod<'_>>, plan: &Plan, mut record: Record) -> Answer {
    let mut response = Response { warnings: warnings(&plan.warnings), ..allowed(request) };
    let mut patch = None;
    if !plan.injected.is_empty() {
        let injected = cut(&plan.injected.join(","), 1024).into_owned();
        response.audit_annotations = Some(AuditAnnotations { injected, hash: &plan.hash });
    }
    if !plan.changes.is_empty() {
        patch = Some(to_json_patch(&plan.changes));
        record.outcome = Outcome::Injected;
        record.operations = plan.changes.len();
    }
    reply(response, patch.as_deref(), record)
}

/// The pod in the review is not one, or no answer can be written: refused, since it was to be injected.
fn unreadable<O>(request: &Request<'_, O>, failure: &serde_json::Error) -> Answer {
    let mut record = request.record("");
    record.outcome = Outcome::Denied(DenialReason::Unreadable);
    let message =
        format!("the object of the request is not a pod as Kubernetes writes it: {}", place(failure));
    reply(Response { allowed: false, status: Some(refusal(message)), ..allowed(request) }, None, record)
}

/// Where JSON goes wrong. The parser's own words may quote a value.
fn place(failure: &serde_json::Error) -> String {
    let what = match failure.classify() {
        Category::Eof => "it ends too early",
        Category::Data => "something is of the wrong type",
        Category::Io | Category::Syntax => "it is not JSON",
    };
    format!("{what} at line {} column {}", failure.line(), failure.column())
}

fn refusal(message: String) -> Status {
    Status { status: "Failure", reason: "Invalid", code: 422, message }
}

/// Writes the answer. The patch is most of it: as base64 it has nothing that JSON would escape, and so it goes straight into the
/// text.
fn reply(response: Response<'_>, patch: Option<&str>, mut record: Record) -> Answer {
    record.warnings = response.warnings.len();
    let reply = Reply { api_version: API_VERSION, kind: KIND, response };
    let mut body = match serde_json::to_string(&reply) {
        Ok(body) => body,
        // Strings and numbers can always be written.
        Err(failure) => return Answer::Malformed(format!("no answer can be written: {failure}")),
    };
    if let Some((start, patch)) = body.strip_suffix(REPLY_END).map(str::len).zip(patch) {
        body.truncate(start);
        body.reserve_exact(patch.len().div_ceil(3) * 4 + 64);
        body.push_str(r#","patchType":"JSONPatch","patch":""#);
        base64::engine::general_purpose::STANDARD.encode_string(patch, &mut body);
        body.push('"');
        body.push_str(REPLY_END);
    }
    Answer::Reviewed { body: body.into_bytes(), record }
}

fn reason(kind: DenialKind) -> DenialReason {
    match kind {
        DenialKind::InvalidAnnotation => DenialReason::InvalidAnnotation,
        DenialKind::NotAllowed => DenialReason::NotAllowed,
        DenialKind::Unsupported => DenialReason::Unsupported,
        DenialKind::Clash => DenialReason::Clash,
    }
}

/// Kubernetes shows 256 characters of a warning, and 4096 of all.
fn warnings(found: &[Warning]) -> Vec<Cow<'_, str>> {
    let mut room = 4096;
    let mut shown = Vec::new();
    for warning in found {
        let warning = cut(warning.as_str(), 256);
        let Some(left) = usize::checked_sub(room, warning.len()) else { break };
        room = left;
        shown.push(warning);
    }
    shown
}

/// Every reason, as long as people can read them: the API server prints them on one line.
fn bounded(messages: &[String]) -> String {
    const LONGEST: usize = 16 << 10;
    let mut text = String::new();
    for (index, message) in messages.iter().enumerate() {
        if text.len() + message.len() > LONGEST {
            text.push_str(&format!("; and {} more", messages.len() - index));
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(message);
    }
    text
}

fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    let mut kept: String = text.chars().take(longest - 1).collect();
    kept.push('…');
    Cow::Owned(kept)
}
