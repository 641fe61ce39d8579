//! Who reads what, and who is told.

use serde_json::json;

use super::*;

fn domain() -> AnnotationDomain {
    AnnotationDomain::new("bsycorp.com").unwrap()
}

fn names(references: &[Reference]) -> Vec<String> {
    references.iter().map(ToString::to_string).collect()
}

#[test]
fn what_goes_into_an_environment_is_found_and_what_is_mounted_is_not() {
    let template = json!({
        "metadata": {"annotations": {
            "secret.bsycorp.com/api": "kind=KUBERNETES,secret=api,key=token,env=API_TOKEN",
            "secret.bsycorp.com/all": "kind=KUBERNETES,secret=many,envFrom=true",
            "secret.bsycorp.com/tls": "kind=KUBERNETES,secret=tls,path=/tls",
        }},
        "spec": {
            "initContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "a"}}}]}],
            "containers": [{
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "a"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "two", "key": "b"}}},
                    {"name": "C", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "c"}}},
                ],
                "envFrom": [{"secretRef": {"name": "whole"}}, {"configMapRef": {"name": "map"}}],
                "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
            }],
            "volumes": [{"name": "keys", "secret": {"secretName": "mounted"}}],
        },
    });
    let found = of_template(&template, "shop", &domain());
    assert_eq!(names(&found), ["shop/api/token", "shop/many/*", "shop/one/a", "shop/whole/*"]);
}

#[test]
fn an_external_secret_depends_on_what_its_store_logs_in_with_and_on_what_it_copies() {
    let webhook = json!({"provider": {"webhook": {
        "headers": {"Authorization": "Bearer {{ .jwt.token }}"},
        "secrets": [{"name": "jwt", "secretRef": {"name": "eso-token", "namespace": "iam", "key": "token"}}],
        "caProvider": {"type": "ConfigMap", "name": "ca"},
    }}});
    let kubernetes = json!({"provider": {"kubernetes": {"remoteNamespace": "iam"}}});
    let aws = json!({"auth": {"secretRef": {"accessKeyIDSecretRef": {"name": "aws", "key": "id"}}}});
    let store = |kind: &str, name: &str| match (kind, name) {
        ("ClusterSecretStore", "webhook") => Some(webhook.clone()),
        ("SecretStore", "kubernetes") => Some(kubernetes.clone()),
        ("SecretStore", "aws") => Some(aws.clone()),
        _ => None,
    };
    let of = |spec: Value| names(&of_external_secret(&spec, "shop", store));
    let by = |kind: &str, name: &str| json!({"kind": kind, "name": name});
    let data = json!([{"secretKey": "a", "remoteRef": {"key": "veza"}}]);
    assert_eq!(
        of(json!({"secretStoreRef": by("ClusterSecretStore", "webhook"), "data": data})),
        ["iam/eso-token/token"]
    );
    assert_eq!(of(json!({"secretStoreRef": {"name": "kubernetes"}, "data": data})), ["iam/veza/*"]);
    assert_eq!(of(json!({"secretStoreRef": by("SecretStore", "aws"), "data": data})), ["shop/aws/id"]);
    assert!(of(json!({"secretStoreRef": by("SecretStore", "webhook"), "data": data})).is_empty());
    let from =
        json!([{"extract": {"key": "all"}, "sourceRef": {"storeRef": by("SecretStore", "kubernetes")}}]);
    assert_eq!(of(json!({"dataFrom": from})), ["iam/all/*"]);
    let stores: Vec<_> = stores_of("one, shop/two,").collect();
    assert_eq!(stores, [(None, "one"), (Some("shop"), "two")]);
}

#[test]
fn what_is_mounted_by_sub_path_is_found() {
    let template = json!({"spec": {
        "containers": [{"volumeMounts": [
            {"name": "plain", "mountPath": "/a"},
            {"name": "plain", "mountPath": "/b/tls.key", "subPath": "tls.key"},
            {"name": "items", "mountPath": "/c", "subPath": "deep/file"},
            {"name": "sources", "mountPath": "/d", "subPathExpr": "$(POD)"},
            {"name": "cache", "mountPath": "/e", "subPath": "x"},
        ]}],
        "volumes": [
            {"name": "plain", "secret": {"secretName": "one"}},
            {"name": "items", "secret": {"secretName": "two", "items": [{"key": "k", "path": "deep/file"}]}},
            {"name": "sources", "projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": "three"}}]}},
            {"name": "cache", "emptyDir": {}},
        ],
    }});
    let found = names(&of_template(&template, "shop", &domain()));
    assert_eq!(found, ["shop/one/tls.key", "shop/three/*", "shop/two/k"]);
}

#[test]
fn only_what_is_read_makes_the_hash() {
    let salt = SecretValue::new(vec![7; 32]);
    let data = |a: &str, b: &str| {
        let value = |text: &str| SecretValue::new(text.as_bytes().to_vec());
        BTreeMap::from([("a".to_owned(), value(a)), ("b".to_owned(), value(b))])
    };
    let of = |key: Option<&str>| Reference {
        namespace: "shop".into(),
        secret: "s".into(),
        key: key.map(str::to_owned),
    };
    let one = |key, data: &BTreeMap<_, _>| hash(&of(key), data, &salt).unwrap();
    assert_eq!(one(Some("a"), &data("1", "2")), one(Some("a"), &data("1", "3")));
    assert_ne!(one(None, &data("1", "2")), one(None, &data("1", "3")));
    assert_ne!(one(None, &data("12", "3")), one(None, &data("1", "23")));
    assert_eq!(hash(&of(Some("c")), &data("1", "2"), &salt), None);
    let other = hash(&of(Some("a")), &data("1", "2"), &SecretValue::new(vec![8; 32])).unwrap();
    assert_ne!(one(Some("a"), &data("1", "2")), other);
    assert_eq!(other.len(), DIGITS);
}

#[test]
fn a_consumer_is_told_once_of_a_change_and_never_of_what_was_not_seen_before() {
    let seen = |text: &str| Note::read(&format!("salt@1000,{text}"));
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let wants = |is_opted_out| Wants { is_opted_out, interval: Duration::from_secs(60) };
    let decide = |noted: Option<&str>, now_seen: &str, out, told: Option<i64>| {
        let noted = noted.map(seen);
        decide(noted.as_ref(), &seen(now_seen), &wants(out), told.map(at))
    };
    let tell = Verdict::Tell { changed: vec!["shop/s".into()] };
    assert_eq!(decide(Some("shop/s/a=-"), "shop/s/a=1", false, None), tell);
    assert_eq!(decide(None, "shop/s/a=1", false, None), Verdict::Note);
    assert_eq!(decide(None, "", false, None), Verdict::UpToDate);
    assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=1", false, None), Verdict::UpToDate);
    assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=2", false, None), tell);
    assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=1,shop/t/b=9", false, None), Verdict::Note);
    assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=2", true, None), Verdict::Note);
    assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=2", false, Some(900)), tell);
    assert_eq!(
        decide(Some("shop/s/a=1"), "shop/s/a=2", false, Some(990)),
        Verdict::Wait { until: at(1_050) }
    );
    let text = "salt@12,shop/s/*=1,shop/s/a=2";
    assert_eq!(Note::read(text).write(), text);
}

#[test]
fn a_secret_that_went_tells_nobody_and_neither_does_one_that_came_back_the_same() {
    let reference =
        |key: &str| Reference { namespace: "shop".into(), secret: "s".into(), key: Some(key.to_owned()) };
    let note = |hash: Option<&str>, noted: Option<&Note>| {
        let hashes = [(reference("a"), hash.map(str::to_owned)), (reference("b"), None)];
        Note::of("salt".to_owned(), Timestamp::UNIX_EPOCH, hashes, noted)
    };
    let there = note(Some("1"), None);
    assert_eq!(there.seen.write(), "shop/s/a=1,shop/s/b=-");
    let gone = note(None, Some(&there));
    assert_eq!(gone.seen, there.seen);
    assert_eq!(note(Some("1"), Some(&gone)).seen, there.seen);
    assert_ne!(note(Some("2"), Some(&gone)).seen, there.seen);
}

#[test]
fn what_was_noted_under_another_salt_tells_nobody_and_is_noted_anew_once_a_minute() {
    let (theirs, ours) =
        (Note::read("theirs@1000,shop/s/a=1"), |at| Note::read(&format!("ours@{at},shop/s/a=2")));
    let wants = Wants { is_opted_out: false, interval: Duration::ZERO };
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    let decide = |now| decide(Some(&theirs), &ours(now), &wants, None);
    assert_eq!(decide(1_001), Verdict::Wait { until: at(1_060) });
    assert_eq!(decide(1_060), Verdict::Note);
    // A clock that was wrong holds nobody up.
    assert_eq!(decide(900), Verdict::Note);
    // What is not there is not what another salt's hash says.
    let absent = Note::of(
        "ours".to_owned(),
        at(1),
        [(Reference { namespace: "shop".into(), secret: "s".into(), key: Some("a".into()) }, None)],
        Some(&theirs),
    );
    assert_eq!(absent.write(), "ours@1,shop/s/a=-");
}

#[test]
fn wants_are_read_from_annotations() {
    let read =
        |key: &str, value: &str| Wants::read(&domain(), |asked| (asked == key).then(|| value.to_owned()));
    assert!(read("rotate.bsycorp.com/restart", "false").is_opted_out);
    assert!(read("rotate.bsycorp.com/restart", "False").is_opted_out);
    assert!(!read("rotate.bsycorp.com/restart", "true").is_opted_out);
    assert_eq!(read("rotate.bsycorp.com/restart-interval", "10m").interval, Duration::from_secs(600));
    assert_eq!(read("rotate.bsycorp.com/restart-interval", "soon").interval, INTERVAL);
}
