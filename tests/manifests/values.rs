//! The values of the chart and their schema: what is refused, with which words, and that nothing is missing.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::tools::{Helm, shipped};

fn file(name: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(shipped("chart").join(name)).unwrap()).unwrap()
}

#[test]
fn the_chart_has_nothing_to_be_warned_of() {
    let Some(helm) = Helm::or_skip("the_chart_has_nothing_to_be_warned_of") else { return };
    let (said, _) = helm.run(&["lint", "--strict", shipped("chart").to_str().unwrap()]);
    assert!(!said.contains("[WARNING]") && said.contains("0 chart(s) failed"), "{said}");
}

#[test]
fn mistakes_are_refused_in_plain_words() {
    let Some(helm) = Helm::or_skip("mistakes_are_refused_in_plain_words") else { return };
    for (value, words) in [
        ("webhok={}", "at '': additional properties 'webhok' not allowed"),
        ("replicas=0", "at '/replicas': minimum: got 0, want 1"),
        (r#"replicas="two""#, "at '/replicas': got string, want integer"),
        (r#"certificate.mode="selfSigned""#, "'selfManaged', 'certManager', 'existingSecret'"),
        ("certificate.mod={}", "at '/certificate': additional properties 'mod' not allowed"),
        (
            r#"certificate.certManager.issuerRef={"kind":"ClusterIssuer"}"#,
            "at '/certificate/certManager/issuerRef'",
        ),
        (r#"certificate.certManager.duration="90d""#, "at '/certificate/certManager/duration'"),
        (
            r#"webhook.failurePolicy="ignore""#,
            "at '/webhook/failurePolicy': value must be one of 'Fail', 'Ignore'",
        ),
        ("webhook.timeoutSeconds=31", "at '/webhook/timeoutSeconds': maximum: got 31, want 30"),
        (r#"webhook.matchConditions=[{"name":"a"}]"#, "missing property 'expression'"),
        (r#"webhook.namespaceSelector={"matchLabel":{}}"#, "additional properties 'matchLabel' not allowed"),
        (
            r#"config.annotationdomain="x""#,
            "at '/config': additional properties 'annotationdomain' not allowed",
        ),
        (r#"config.annotationDomain="Bsycorp""#, "at '/config/annotationDomain'"),
        (r#"config.layout="keys""#, "at '/config/layout': value must be one of 'keystow', 'kees'"),
        ("config.kubernetesVersion=1.35", "at '/config/kubernetesVersion': got number, want string"),
        (r#"config.prefixes=[{"namespaces":["a"]}]"#, "missing property 'allow'"),
        (r#"image.digest="sha256:abc""#, "at '/image/digest'"),
        (r#"log.format="xml""#, "at '/log/format': value must be one of 'json', 'text'"),
        (r#"findUninjected="yes""#, "at '/findUninjected': got string, want boolean"),
        (r#"networkPolicy.apiServerPorts=[]"#, "at '/networkPolicy/apiServerPorts': minItems"),
        (r#"extraArgs=["grace=10s"]"#, "at '/extraArgs/0'"),
        ("creator.enable=true", "at '/creator': additional properties 'enable' not allowed"),
        ("creator.replicas=0", "at '/creator/replicas': minimum: got 0, want 1"),
        (r#"creator.secretNamespaces=["Demo"]"#, "at '/creator/secretNamespaces/0'"),
        (r#"creator.secretNamespaces="demo""#, "at '/creator/secretNamespaces': got string, want array"),
        (
            r#"creator.tokens={"../prod": "a"}"#,
            "at '/creator/tokens': additional properties '../prod' not allowed",
        ),
        (r#"rotate.namespaces=["Iam"]"#, "at '/rotate/namespaces/0'"),
        (r#"rotate.schedule="every day""#, "at '/rotate/schedule'"),
        ("rotate.replica=1", "at '/rotate': additional properties 'replica' not allowed"),
        ("provider.tls={}", "at '/provider': additional properties 'tls' not allowed"),
        (r#"provider.storeSecrets=["A"]"#, "at '/provider/storeSecrets/0'"),
        (
            r#"config.creator.identity={}"#,
            "at '/config/creator': additional properties 'identity' not allowed",
        ),
    ] {
        let said = helm.refusal(value);
        assert!(said.contains("specifications of the schema") && said.contains(words), "{value}: {said}");
    }
}

/// Fields of `config` are those that the program knows: none that it would refuse, and none that cannot be set.
#[test]
fn the_schema_has_the_fields_of_the_operators_file() {
    const UNKNOWN: &str = "{zzzzzzzzzzzz: 1}";
    let schema = file("values.schema.json");
    for (pointer, section) in [
        ("", "_"),
        ("/injection", "injection: _"),
        ("/injection/resources", "injection: {resources: _}"),
        ("/injection/resources/requests", "injection: {resources: {requests: _}}"),
        ("/injection/resources/limits", "injection: {resources: {limits: _}}"),
        ("/injection/volume", "injection: {volume: _}"),
        ("/localMode", "localMode: _"),
        ("/prefixes/items", "prefixes: [_]"),
        ("/creator", "creator: _"),
        ("/provider", "provider: _"),
        ("/provider/callers/items", "provider: {callers: [_]}"),
        ("/provider/rate", "provider: {rate: _}"),
    ] {
        let properties = pointer.replace('/', "/properties/").replace("/properties/items", "/items");
        let properties = &schema["properties"]["config"].pointer(&properties).unwrap()["properties"];
        let fields: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        let mistakes = keystow::config::read(&section.replace('_', UNKNOWN)).unwrap_err();
        let known = mistakes.iter().find_map(|mistake| mistake.message.split_once("known here: "));
        assert_eq!(fields, known.expect("the known fields").1.split(", ").collect(), "{pointer}");
    }
}

/// What the schema lets through as a lifetime, the program reads.
#[test]
fn lifetimes_of_the_schema_are_durations() {
    let schema = file("values.schema.json");
    let lifetimes = &schema["properties"]["certificate"]["properties"]["selfManaged"]["properties"];
    let units = r"^([0-9]+(ms|s|m|h|d))*$";
    for (name, lifetime) in lifetimes.as_object().unwrap() {
        assert_eq!(lifetime["pattern"], units, "{name}");
    }
    for unit in units.split(['(', '|', ')']).filter(|part| part.chars().all(char::is_alphabetic)) {
        if !unit.is_empty() {
            assert!(keystow::domain::parse_duration(&format!("1{unit}30{unit}")).is_ok(), "{unit}");
        }
    }
}

/// Whoever reads values.yaml sees all there is: each property of the schema stands there, and each value in the schema.
#[test]
fn every_value_is_in_the_schema_and_every_property_among_the_values() {
    // Set by Helm; and maps that are empty because nothing is asked for, or have fields with defaults in the program.
    let unsaid = [
        "/global",
        "/config/prefixes",
        "/config/localMode",
        "/config/creator",
        "/config/provider",
        "/config/injection/resources",
        "/config/injection/volume",
        "/config/injection/proxy",
        "/config/injection/deadline",
    ];
    let mut broken = Vec::new();
    compare("", &file("values.yaml"), &file("values.schema.json"), &unsaid, &mut broken);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn compare(path: &str, values: &Value, schema: &Value, unsaid: &[&str], broken: &mut Vec<String>) {
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else {
        return;
    };
    // An empty map stands for what its comment says.
    if values.is_empty() {
        return;
    }
    for (key, property) in properties {
        let path = format!("{path}/{key}");
        match values.get(key) {
            Some(value) => compare(&path, value, property, unsaid, broken),
            None if unsaid.contains(&path.as_str()) => {}
            None => broken.push(format!("{path} is not in values.yaml")),
        }
    }
    let open = schema["additionalProperties"] != false;
    let strange = values.keys().filter(|key| !open && !properties.contains_key(*key));
    broken.extend(strange.map(|key| format!("{path}/{key} is not in values.schema.json")));
}
