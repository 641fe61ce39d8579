//! Properties of every plan, over generated pods and annotations (at least 10,000 each).

use std::collections::BTreeMap;

use json_patch::PatchOperation;
use keystow::config;
use keystow::domain::{AnnotationDomain, Grammar, Layout, Parsed};
use keystow::inject::{Denial, Pod, Settings, Verdict, plan};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

pub(crate) const CASES: u32 = 10_000;

fn settings(layout: &str) -> Settings {
    let stores = r#"{default: cluster, cluster: {kubernetes: {}}, local: {local: {}},
        vault: {vault: {address: "https://v", mount: m, auth: {kubernetes: {role: r, mount: k, audience: vault}}}}}"#;
    config::read(&format!("layout: {layout}\nstores: {stores}\nlocalMode: {{namespaces: ['*']}}"))
        .unwrap()
        .offline()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("app".to_owned()),
        Just("log".to_owned()),
        Just("db.password".to_owned()),
        Just("key_public".to_owned()),
        Just("key_private".to_owned()),
        Just("api-key.x_consumer".to_owned()),
        Just("secrets".to_owned()),
        Just("Upper.Case_x".to_owned()),
        "[a-z][a-z0-9]{0,6}",
    ]
}

fn container_list() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(",containers=app".to_owned()),
        Just(",containers=log|app".to_owned())
    ]
}

/// The values of secret annotations, most of them right.
fn secret_value() -> impl Strategy<Value = String> {
    let stored = prop_oneof![
        4 => Just("kind=REFERENCE,type=PASSWORD".to_owned()),
        2 => Just("kind=DYNAMIC,type=PASSWORD,size=128".to_owned()),
        1 => Just("kind=DYNAMIC,type=RSA,size=2048".to_owned()),
        1 => "[A-Z]{1,4}".prop_map(|env| format!("kind=REFERENCE,type=RANDOM,env={env}")),
    ];
    let kubernetes = prop_oneof![
        "[A-Z]{1,4}".prop_map(|env| format!("kind=KUBERNETES,secret=s,key=k,env={env}")),
        Just("kind=KUBERNETES,secret=veza-secrets,envFrom=true,prefix=P_".to_owned()),
        "/[a-c]{1,2}(/[a-c])?".prop_map(|path| format!("kind=KUBERNETES,secret=s,path={path}")),
        "/[a-c]{1,2}"
            .prop_map(|path| format!("kind=KUBERNETES,secret=t,key=k,path={path},mode=0444,optional=true")),
    ];
    let wrong = prop_oneof![Just(String::new()), "[ -~]{0,40}", any::<String>()];
    (prop_oneof![6 => stored, 5 => kubernetes, 1 => wrong], container_list())
        .prop_map(|(value, list)| value + &list)
}

pub(crate) fn annotation() -> impl Strategy<Value = (String, String)> {
    let steering = prop_oneof![
        Just(("inject.bsycorp.com/init-position".to_owned(), "last".to_owned())),
        Just(("inject.bsycorp.com/refresh".to_owned(), "90s".to_owned())),
        Just(("inject.bsycorp.com/containers".to_owned(), "app".to_owned())),
        Just(("inject.bsycorp.com/path".to_owned(), "/run/app".to_owned())),
        Just(("inject.bsycorp.com/store".to_owned(), "vault".to_owned())),
        Just(("inject.bsycorp.com/service-account".to_owned(), "other".to_owned())),
        Just(("inject.bsycorp.com/format".to_owned(), "json,dotenv".to_owned())),
        Just((
            "inject.bsycorp.com/status".to_owned(),
            r#"{"version":"0","hash":"","containers":["app"]}"#.to_owned()
        )),
        Just(("init.bsycorp.com/storage-prefix".to_owned(), "/veza".to_owned())),
        ("[a-z.]{1,8}/[a-z]{1,8}", any::<String>()),
    ];
    prop_oneof![
        6 => (name(), secret_value()).prop_map(|(name, value)| (format!("secret.bsycorp.com/{name}"), value)),
        1 => name().prop_map(|name| (format!("resource.bsycorp.com/{name}"), "localModeValue=dmFsdWU=".to_owned())),
        1 => name().prop_map(|name| (format!("lease.bsycorp.com/{name}"), "kind=INDEX,rangeStart=0,rangeEnd=9".to_owned())),
        3 => steering,
    ]
}

/// Fields that keystow knows nothing of, in an object that it patches around.
fn container(name: String) -> impl Strategy<Value = Value> {
    let env = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!([{"name": "A", "value": "own", "x": [1]}]))
    ];
    let mounts = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(
            json!([{"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
        ),
        Just(json!([{"name": "v", "mountPath": "/data", "futureField": {"a": null}}])),
        Just(json!([{"name": "v", "mountPath": "/secret/"}])),
    ];
    let user = prop_oneof![
        Just(Value::Null),
        Just(json!({"runAsUser": 0})),
        Just(json!({"runAsUser": 1000, "y": {}}))
    ];
    let restart = prop_oneof![Just(None), Just(Some("Always"))];
    (env, mounts, user, restart).prop_map(move |(env, mounts, user, restart)| {
        let mut container = json!({"image": "i", "name": name, "resizePolicy": [{"unknown": "a~b/c"}]});
        for (field, value) in [("env", env), ("volumeMounts", mounts), ("securityContext", user)] {
            if !value.is_null() {
                container[field] = value;
            }
        }
        if let Some(restart) = restart {
            container["restartPolicy"] = restart.into();
        }
        container
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let containers = (container("app".into()), container("log".into()), any::<bool>());
    let init = proptest::option::of(proptest::collection::vec(container("prepare".into()), 0..2));
    let volumes = prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!([{"name": "v", "emptyDir": {}}])),
        Just(json!([{"name": "keystow-secrets", "hostPath": {"path": "/"}}])),
    ];
    let security = prop_oneof![
        Just(Value::Null),
        Just(json!({"fsGroup": 5})),
        Just(json!({"runAsUser": 7, "runAsNonRoot": true})),
    ];
    let account = prop_oneof![Just(Value::Null), Just(json!("default")), Just(json!("mine"))];
    let annotations = proptest::collection::vec(annotation(), 0..8);
    (annotations, containers, init, volumes, security, account).prop_map(
        |(annotations, (app, log, both), init, volumes, security, account)| {
            let annotations: BTreeMap<_, _> = annotations.into_iter().collect();
            let containers = if both { json!([app, log]) } else { json!([app]) };
            let managed = json!([{"fieldsV1": {"f:spec": {"f:containers": {}}}}]);
            let mut pod = json!({
                "metadata": {"annotations": annotations, "managedFields": managed},
                "spec": {"containers": containers, "imagePullSecrets": [{"name": "p"}], "future": {"x": [null, 1e300]}}
            });
            let fields =
                [("initContainers", json!(init)), ("volumes", volumes), ("securityContext", security), ("serviceAccountName", account)];
            for (field, value) in fields {
                if !value.is_null() {
                    pod["spec"][field] = value;
                }
            }
            pod
        },
    )
}

fn decide(pod: &Value, settings: &Settings) -> Result<Vec<PatchOperation>, Denial> {
    let json = pod.to_string();
    let view = Pod::from_json(json.as_bytes()).expect("a pod");
    plan(&view, "demo", settings).map(|verdict| match verdict {
        Verdict::Skip(_) => Vec::new(),
        Verdict::Inject(plan) => plan.changes.iter().map(keystow::inject::Change::operation).collect(),
    })
}

/// Takes away what keystow put in, by the names that it gives its parts.
fn without_our_parts(mut pod: Value, original: &Value) -> Value {
    let ours = |value: &Value| {
        let prefixes = ["keystow-", "init-volume", "podinfo-volume", "bsycorp-"];
        value["name"].as_str().is_some_and(|name| prefixes.iter().any(|ours| name.starts_with(ours)))
    };
    let had = |list: &Value, value: &Value| list.as_array().is_some_and(|list| list.contains(value));
    let spec = &original["spec"];
    for field in ["volumes", "initContainers"] {
        if let Some(list) = pod["spec"].get_mut(field).and_then(Value::as_array_mut) {
            list.retain(|value| !ours(value) || had(&spec[field], value));
        }
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in
            pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().enumerate()
        {
            let before = &spec[list][index];
            for field in ["env", "envFrom", "volumeMounts"] {
                let kept = before[field].clone();
                if let Some(values) = container.get_mut(field).and_then(Value::as_array_mut) {
                    values.retain(|value| had(&kept, value));
                    let is_new = values.is_empty() && kept.is_null();
                    if is_new {
                        container.as_object_mut().unwrap().shift_remove(field);
                    }
                }
            }
        }
    }
    for field in ["volumes", "initContainers"] {
        if pod["spec"].get(field) == Some(&json!([])) && spec[field].is_null() {
            pod["spec"].as_object_mut().unwrap().shift_remove(field);
        }
    }
    for field in ["serviceAccountName", "imagePullSecrets"] {
        match &spec[field] {
            Value::Null => drop(pod["spec"].as_object_mut().unwrap().shift_remove(field)),
            value => pod["spec"][field] = value.clone(),
        }
    }
    let status = "inject.bsycorp.com/status";
    match &original["metadata"]["annotations"][status] {
        Value::Null => drop(pod["metadata"]["annotations"].as_object_mut().unwrap().shift_remove(status)),
        value => pod["metadata"]["annotations"][status] = value.clone(),
    }
    pod
}

/// The paths that operations may have.
fn is_leaf(operation: &PatchOperation) -> bool {
    let (PatchOperation::Add(_) | PatchOperation::Remove(_) | PatchOperation::Move(_)) = operation else {
        return false;
    };
    let path = operation.path().to_string();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["metadata", "annotations", key] => *key == "inject.bsycorp.com~1status",
        ["spec", "serviceAccountName" | "imagePullSecrets"] => true,
        ["spec", "volumes" | "initContainers"] | ["spec", "volumes" | "initContainers", _] => true,
        ["spec", "containers" | "initContainers", index, "env" | "envFrom" | "volumeMounts", rest @ ..] => {
            index.parse::<usize>().is_ok() && matches!(rest, [] | ["-"])
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(Config { cases: CASES, failure_persistence: None, ..Config::default() })]

    #[test]
    fn plans_apply_are_idempotent_reversible_and_leaf_only(pod in pod(), kees in any::<bool>()) {
        let settings = settings(if kees { "kees" } else { "keystow" });
        let Ok(operations) = decide(&pod, &settings) else { return Ok(()) };
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &operations).expect("the patch applies");
        prop_assert!(operations.iter().all(is_leaf), "{operations:?}");
        let again = decide(&patched, &settings).expect("what was injected is not refused");
        prop_assert!(again.is_empty(), "again: {again:?}\nfirst: {operations:?}");
        prop_assert_eq!(without_our_parts(patched, &pod), pod);
    }

    #[test]
    fn annotations_never_panic_and_do_not_depend_on_order(
        mut annotations in proptest::collection::vec(annotation(), 0..12), seed in any::<usize>()
    ) {
        annotations.sort();
        annotations.dedup_by(|a, b| a.0 == b.0);
        let domain = AnnotationDomain::default();
        let grammar = Grammar { domain: &domain, taken_files: Layout::Keystow.taken_files() };
        let parse = |list: &[(String, String)]| grammar.parse(list.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let first = parse(&annotations);
        if !annotations.is_empty() {
            let middle = seed % annotations.len();
            annotations.rotate_left(middle);
        }
        prop_assert_eq!(parse(&annotations), first);
    }

    #[test]
    fn any_text_is_read_without_a_panic(name in "\\PC{0,70}", value in any::<String>(), family in 0..5_usize) {
        let domain = AnnotationDomain::default();
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        let key = domain.key(keystow::domain::Family::ALL[family], &name);
        match grammar.parse([(key.as_str(), value.as_str())]) {
            Ok(Parsed::OptedOut | Parsed::Requests(..)) => {}
            Err(rejection) => prop_assert!(!rejection.problems.is_empty()),
        }
    }
}
