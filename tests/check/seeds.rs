//! Faults, one a workload or object, with the code that must be found at it.

use serde_json::{Value, json};

/// A Deployment with one fault: its name, its pod's annotations, its pod's spec beside one container, and the code.
type Seed = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const JWT: (&str, &str) =
    ("secret.bsycorp.com/jwt", "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT");
const DB: (&str, &str) = ("secret.bsycorp.com/none_password", "kind=REFERENCE,type=PASSWORD");

pub(crate) const WORKLOADS: &[Seed] = &[
    ("invalid", &[("secret.bsycorp.com/a", "kind=BLAH")], "{}", "KS201"),
    (
        "unknown-parameter",
        &[("secret.bsycorp.com/a", "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=A,optionl=true")],
        "{}",
        "KS202",
    ),
    (
        "prefix",
        &[
            ("init.bsycorp.com/storage-prefix", "other"),
            ("secret.bsycorp.com/db_password", "kind=REFERENCE,type=PASSWORD"),
        ],
        "{}",
        "KS203",
    ),
    ("local-mode", &[("init.bsycorp.com/local-mode", "true"), DB], "{}", "KS203"),
    ("predictable", &[("init.bsycorp.com/local-mode", "remote-then-local"), DB], "{}", "KS210"),
    ("store", &[("inject.bsycorp.com/store", "nowhere"), DB], "{}", "KS204"),
    ("no-container", &[JWT, ("inject.bsycorp.com/containers", "nobody")], "{}", "KS205"),
    ("opted-out", &[JWT, ("inject.bsycorp.com/enabled", "false")], "{}", "KS207"),
    (
        "misspelt-family",
        &[("secrets.bsycorp.com/jwt", "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT")],
        "{}",
        "KS208",
    ),
    (
        "misspelt-domain",
        &[("secret.bsycorp.com.evil/jwt", "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT")],
        "{}",
        "KS208",
    ),
    ("variable-stays", &[JWT], r#"{"env": [{"name": "JWT", "value": "own"}]}"#, "KS209"),
    ("account-stays", &[JWT, ("inject.bsycorp.com/service-account", "reads-all")], "{}", "KS506"),
    (
        "secret-missing",
        &[("secret.bsycorp.com/a", "kind=KUBERNETES,secret=nowhere,key=a,env=A")],
        "{}",
        "KS401",
    ),
    (
        "own-secret-missing",
        &[],
        r#"{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "jwt-secrt", "key": "a"}}}]}"#,
        "KS401",
    ),
    (
        "key-missing",
        &[("secret.bsycorp.com/a", "kind=KUBERNETES,secret=jwt-secret,key=secretkey,env=A")],
        "{}",
        "KS402",
    ),
    (
        "optional-missing",
        &[("secret.bsycorp.com/a", "kind=KUBERNETES,secret=nowhere,key=a,env=A,optional=true")],
        "{}",
        "KS403",
    ),
    ("from-digits", &[], r#"{"envFrom": [{"secretRef": {"name": "digits"}}]}"#, "KS407"),
    ("literal", &[], r#"{"env": [{"name": "DB_PASSWORD", "value": "Zk3w9QpL2xYc8vBn"}]}"#, "KS414"),
    ("account-missing", &[JWT], r#"{"account": "nobody"}"#, "KS501"),
    (
        "account-denied",
        &[("secret.bsycorp.com/session", "kind=DYNAMIC,type=PASSWORD,size=256")],
        "{}",
        "KS502",
    ),
    ("account-reads-all", &[JWT], r#"{"account": "reads-all"}"#, "KS503"),
    (
        "default-account",
        &[("secret.bsycorp.com/session", "kind=DYNAMIC,type=PASSWORD,size=256")],
        r#"{"account": "default"}"#,
        "KS504",
    ),
    (
        "no-token",
        &[("secret.bsycorp.com/session", "kind=DYNAMIC,type=PASSWORD,size=256")],
        r#"{"automount": false}"#,
        "KS505",
    ),
    ("value-missing", &[DB], "{}", "KS601"),
    (
        "pair-incomplete",
        &[("secret.bsycorp.com/pair_private", "kind=DYNAMIC,type=RSA,size=2048")],
        "{}",
        "KS602",
    ),
    (
        "range",
        &[("lease.bsycorp.com/narrow", "kind=INDEX,rangeStart=0,rangeEnd=0")],
        r#"{"replicas": 3}"#,
        "KS605",
    ),
];

/// The other objects of faulty.yaml, by the code that must be found at each.
pub(crate) const OBJECTS: &[(&str, &str)] = &[
    ("Deployment faulty/misplaced", "KS206"),
    ("Pod faulty/not-injected", "KS301"),
    ("Pod faulty/injected-otherwise", "KS302"),
    ("Pod faulty/init-not-found", "KS303"),
    ("Pod faulty/init-denied", "KS304"),
    ("Pod faulty/init-away", "KS305"),
    ("Pod faulty/init-usage", "KS306"),
    ("Pod faulty/init-image", "KS306"),
    ("Pod faulty/cannot-start", "KS307"),
    ("Pod faulty/cannot-mount", "KS308"),
    ("Deployment faulty/refused", "KS309"),
    ("StatefulSet faulty/refused-by-event", "KS309"),
    ("Pod faulty/creator-says", "KS310"),
    ("Secret faulty/empty-value", "KS404"),
    ("Secret faulty/default-value", "KS405"),
    ("Secret faulty/short-key", "KS406"),
    ("Secret faulty/short-password", "KS406"),
    ("Secret faulty/newline", "KS408"),
    ("Secret faulty/encoded-twice", "KS409"),
    ("Secret faulty/broken-pem", "KS410"),
    ("Secret faulty/weak-rsa", "KS410"),
    ("Secret faulty/halves", "KS411"),
    ("Secret faulty/expired", "KS412"),
    ("Secret faulty/repeats", "KS413"),
    ("Secret faulty/twin-one", "KS415"),
    ("Secret faulty/lasting-token", "KS417"),
    ("ConfigMap faulty/secret-in-config", "KS418"),
    ("Secret faulty/overdue", "KS701"),
    ("Secret faulty/jwt-secret", "KS702"),
    ("Secret faulty/unreadable-rotation", "KS703"),
    ("ExternalSecret faulty/not-syncing", "KS801"),
    ("ExternalSecret faulty/stale", "KS802"),
    ("ExternalSecret faulty/store-fails", "KS803"),
    ("ExternalSecret faulty/store-missing", "KS803"),
    ("ExternalSecret faulty/target-missing", "KS804"),
    ("ExternalSecret faulty/synced-once", "KS805"),
    ("ExternalSecret faulty/writer-two", "KS806"),
];

/// The Deployments of [`WORKLOADS`], and those that have a status or annotations of their own.
pub(crate) fn workloads() -> Vec<Value> {
    let mut all: Vec<Value> =
        WORKLOADS.iter().map(|(name, annotations, more, _)| deployment(name, annotations, more)).collect();
    let mut misplaced = deployment("misplaced", &[], "{}");
    misplaced["metadata"]["annotations"] = json!({(JWT.0): JWT.1});
    let mut stateful = deployment("refused-by-event", &[], "{}");
    stateful["kind"] = json!("StatefulSet");
    stateful["spec"]["serviceName"] = json!("refused");
    all.extend([misplaced, deployment("refused", &[], "{}"), stateful]);
    all
}

fn deployment(name: &str, annotations: &[(&str, &str)], more: &str) -> Value {
    let more: Value = serde_json::from_str(more).unwrap();
    let annotations: serde_json::Map<String, Value> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let mut container = json!({"name": "app", "image": "app:1"});
    for field in ["env", "envFrom"] {
        if let Some(value) = more.get(field) {
            container[field] = value.clone();
        }
    }
    let account = more.get("account").and_then(Value::as_str).unwrap_or("reader");
    let mut spec = json!({"serviceAccountName": account, "containers": [container]});
    if let Some(automount) = more.get("automount") {
        spec["automountServiceAccountToken"] = automount.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "faulty"},
        "spec": {
            "replicas": more.get("replicas").and_then(Value::as_i64).unwrap_or(1),
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": spec},
        },
    })
}

/// What kubelets, controllers and operators would have written.
pub(crate) fn statuses() -> Vec<(&'static str, &'static str, Value)> {
    let ended = |code: u32, message: &str| {
        json!({"phase": "Pending", "initContainerStatuses": [{
            "name": "keystow-init", "image": "keystow:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": code, "message": message}},
        }]})
    };
    let waiting = |list: &str, name: &str, reason: &str, message: &str| {
        json!({"phase": "Pending", (list): [{
            "name": name, "image": "app:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}},
        }]})
    };
    let ready = |status: &str, reason: &str, refreshed: &str| json!({"refreshTime": refreshed, "conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "m"}]});
    let now = "2099-01-01T00:00:00Z";
    vec![
        ("pod", "init-not-found", ended(65, "secret.bsycorp.com/db: /db is not in the store")),
        ("pod", "init-denied", ended(77, "access to /db is denied")),
        ("pod", "init-away", ended(69, "the store did not answer")),
        ("pod", "init-usage", ended(64, "no region is configured")),
        (
            "pod",
            "init-image",
            waiting("initContainerStatuses", "keystow-init", "ImagePullBackOff", "not found"),
        ),
        (
            "pod",
            "cannot-start",
            waiting("containerStatuses", "app", "CreateContainerConfigError", "secret \"a\" not found"),
        ),
        ("pod", "cannot-mount", json!({"phase": "Pending"})),
        ("pod", "creator-says", json!({"phase": "Pending"})),
        (
            "deployment",
            "refused",
            json!({"conditions": [{
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods are forbidden",
            }]}),
        ),
        ("secretstore", "works", ready("True", "Valid", now)),
        ("secretstore", "fails", ready("False", "InvalidProviderConfig", now)),
        ("externalsecret", "not-syncing", ready("False", "SecretSyncedError", now)),
        ("externalsecret", "stale", ready("True", "SecretSynced", "2026-01-01T00:00:00Z")),
        ("externalsecret", "store-fails", ready("True", "SecretSynced", now)),
        ("externalsecret", "store-missing", ready("True", "SecretSynced", now)),
        ("externalsecret", "target-missing", ready("True", "SecretSynced", now)),
        ("externalsecret", "synced-once", ready("True", "SecretSynced", now)),
        ("externalsecret", "writer-one", ready("True", "SecretSynced", now)),
        ("externalsecret", "writer-two", ready("True", "SecretSynced", now)),
    ]
}
