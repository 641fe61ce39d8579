//! Requests written back as annotations are read as the same requests.
//!
//! The writer stands here and not in the crate: keystow never writes annotations of these families.

use base64::Engine as _;
use keystow::domain::{
    AnnotationDomain, Delivery, Encoding, Family, Format, Generated, Grammar, InitPosition, KubernetesTarget,
    LeaseRequest, LocalMode, LocalValue, Origin, Parsed, Requests, ResourceRequest, SecretRequest,
    StoredSecret,
};
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::properties::{CASES, annotation};

fn add(value: &mut Vec<String>, key: &str, part: Option<impl ToString>) {
    value.extend(part.map(|part| format!("{key}={}", part.to_string())));
}

fn local(value: Option<&LocalValue>) -> Option<String> {
    value.map(|value| base64::engine::general_purpose::STANDARD.encode(value.value().expose()))
}

fn stored(stored: &StoredSecret, value: &mut Vec<String>) {
    match &stored.origin {
        Origin::Dynamic(generated) => {
            value.push("kind=DYNAMIC".to_owned());
            add(value, "size", (!matches!(generated, Generated::Ed25519 { .. })).then_some(generated.bits()));
            if let Generated::Gpg { user_id, .. } = generated {
                add(value, "userId", Some(user_id));
            }
        }
        Origin::Reference { size, .. } => {
            value.push("kind=REFERENCE".to_owned());
            add(value, "size", *size);
        }
    }
    add(value, "type", Some(stored.origin.kind().word()));
    add(value, "storageKey", stored.storage_key.as_ref());
    add(value, "localModeValue", local(stored.local_value.as_ref()));
    add(value, "env", stored.env.as_ref());
    add(value, "mode", stored.mode);
}

fn secret(request: &SecretRequest) -> String {
    let mut value = Vec::new();
    match &request.delivery {
        Delivery::Stored(secret) => stored(secret, &mut value),
        Delivery::Kubernetes(secret) => {
            value.push(format!("kind=KUBERNETES,secret={},optional={}", secret.secret, secret.optional));
            match &secret.target {
                KubernetesTarget::Env { key, env } => value.push(format!("key={key},env={env}")),
                KubernetesTarget::EnvFrom { prefix } => {
                    value.push("envFrom=true".to_owned());
                    add(&mut value, "prefix", prefix.as_ref());
                }
                KubernetesTarget::Path { path, key, mode } => {
                    value.push(format!("path={path},mode={mode}"));
                    add(&mut value, "key", key.as_ref());
                }
            }
        }
    }
    let containers = request.containers.as_ref();
    let names = containers.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join("|"));
    add(&mut value, "containers", names);
    value.join(",")
}

fn resource(request: &ResourceRequest) -> String {
    let mut value = Vec::new();
    add(&mut value, "storageKey", request.storage_key.as_ref());
    add(&mut value, "localModeValue", local(request.local_value.as_ref()));
    value.join(",")
}

fn lease(request: &LeaseRequest) -> String {
    let range = &request.range;
    let mut value = vec![format!("kind=INDEX,rangeStart={},rangeEnd={}", range.start(), range.end())];
    add(&mut value, "storageKeyPrefix", request.storage_key_prefix.as_ref());
    value.join(",")
}

fn steering(requests: &Requests) -> Vec<(Family, String, String)> {
    let (storage, injection) = (&requests.storage, &requests.injection);
    let mut all = Vec::new();
    let mut put = |family, key: &str, value: Option<String>| {
        all.extend(value.map(|value| (family, key.to_owned(), value)));
    };
    put(Family::Init, "storage-prefix", storage.prefix.as_ref().map(ToString::to_string));
    put(
        Family::Init,
        "local-mode",
        (storage.local_mode != LocalMode::Remote).then(|| storage.local_mode.word().to_owned()),
    );
    put(Family::Inject, "service-account", injection.service_account.as_ref().map(ToString::to_string));
    let names = injection.containers.as_ref();
    put(
        Family::Inject,
        "containers",
        names.map(|n| n.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
    );
    put(
        Family::Inject,
        "init-position",
        (injection.init_position == InitPosition::Last).then(|| "last".to_owned()),
    );
    put(Family::Inject, "store", injection.store.as_ref().map(ToString::to_string));
    put(Family::Inject, "path", injection.path.as_ref().map(ToString::to_string));
    let words = [
        (Format::Properties, "properties"),
        (Format::Dotenv, "dotenv"),
        (Format::Json, "json"),
        (Format::Files, "files"),
    ];
    let formats = injection.formats.as_ref().map(|formats| {
        words
            .iter()
            .filter(|(format, _)| formats.has(*format))
            .map(|(_, word)| *word)
            .collect::<Vec<_>>()
            .join(",")
    });
    put(Family::Inject, "format", formats);
    let encoding = |encoding| if encoding == Encoding::Plain { "plain" } else { "base64" }.to_owned();
    put(Family::Inject, "encoding", injection.encoding.map(encoding));
    put(Family::Inject, "refresh", injection.refresh.map(|every| format!("{}ms", every.as_millis())));
    for template in &injection.templates {
        put(Family::Inject, &format!("template.{}", template.name), Some(template.source.clone()));
    }
    for variable in &injection.template_envs {
        put(Family::Inject, &format!("template-env.{}", variable.template), Some(variable.env.to_string()));
    }
    all
}

fn write(domain: &AnnotationDomain, requests: &Requests) -> Vec<(String, String)> {
    let secrets = requests.secrets.iter().map(|r| (Family::Secret, r.name.to_string(), secret(r)));
    let resources = requests.resources.iter().map(|r| (Family::Resource, r.name.to_string(), resource(r)));
    let leases = requests.leases.iter().map(|r| (Family::Lease, r.name.to_string(), lease(r)));
    let all = secrets.chain(resources).chain(leases).chain(steering(requests));
    all.map(|(family, name, value)| (domain.key(family, &name), value)).collect()
}

/// Parameters that the pods of the other properties do not have.
fn rare() -> impl Strategy<Value = (String, String)> {
    let size = prop_oneof![Just(2048), Just(3072), Just(4096)];
    prop_oneof![
        size.prop_map(|size| ("gpg_private", format!("kind=DYNAMIC,type=GPG,size={size},userId=a b<c@d>"))),
        Just(("ec_public", "kind=DYNAMIC,type=EC,size=384,mode=0440,storageKey=a/b".to_owned())),
        Just(("ed_private", "kind=DYNAMIC,type=ED25519,env=ED".to_owned())),
        (1..8192_u16)
            .prop_map(|size| ("random", format!("kind=DYNAMIC,type=RANDOM,size={size},localModeValue=AAEC"))),
        Just(("api-key.y_provider", "kind=DYNAMIC,type=RANDOM,size=64".to_owned())),
        (any::<i32>(), any::<u8>()).prop_map(|(start, more)| {
            let end = start.saturating_add(more.into());
            (
                "../lease.bsycorp.com/wide",
                format!("kind=INDEX,rangeStart={start},rangeEnd={end},storageKeyPrefix=p"),
            )
        }),
    ]
    .prop_map(|(name, value)| match name.strip_prefix("../") {
        Some(key) => (key.to_owned(), value),
        None => (format!("secret.bsycorp.com/{name}"), value),
    })
}

proptest! {
    #![proptest_config(Config { cases: CASES, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_is_written_back_is_read_the_same(
        mut annotations in proptest::collection::vec(prop_oneof![3 => annotation(), 2 => rare()], 0..8)
    ) {
        annotations.sort();
        annotations.dedup_by(|a, b| a.0 == b.0);
        let domain = AnnotationDomain::default();
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        let parse = |list: &[(String, String)]| grammar.parse(list.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        if let Ok(Parsed::Requests(requests, _)) = parse(&annotations) {
            let written = write(&domain, &requests);
            match parse(&written) {
                Ok(Parsed::Requests(again, _)) => prop_assert_eq!(again, requests, "{:?}", written),
                other => prop_assert!(false, "{written:?}: {other:?}"),
            }
        }
    }
}
