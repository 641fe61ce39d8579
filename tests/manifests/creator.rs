//! The creator in what is shipped: kustomize and the chart render the same, its rights are its own and no others, and its
//! tokens follow the stores.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::chart::{knows_its_flags, without_what_is_helms, without_what_is_kustomizes};
use super::objects::{Objects, text};
use super::tools::{Helm, helm_and_kubectl_or_skip, kubectl_or_skip, kustomize, shipped};

const ON: &str = "creator.enabled=true";
const DEPLOYMENT: &str = "Deployment/keystow-creator";

fn template(objects: &Objects) -> &Value {
    &objects.get(DEPLOYMENT)["spec"]["template"]
}

fn container(objects: &Objects) -> &Value {
    &template(objects)["spec"]["containers"][0]
}

fn arguments(objects: &Objects) -> Vec<&str> {
    container(objects)["args"].as_array().unwrap().iter().map(text).collect()
}

/// The volume or mount of this name.
fn named<'o>(list: &'o Value, name: &str) -> Option<&'o Value> {
    list.as_array().unwrap().iter().find(|element| element["name"] == name)
}

/// The documents of a manifest, which may have several of one name in different namespaces.
fn documents(manifest: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

fn example(name: &str) -> Vec<Value> {
    documents(&fs::read_to_string(shipped(name)).unwrap())
}

#[test]
fn with_the_creator_the_chart_is_what_kustomize_makes_of_both() {
    let test = "with_the_creator_the_chart_is_what_kustomize_makes_of_both";
    let Some((helm, kubectl)) = helm_and_kubectl_or_skip(test) else { return };
    let both = without_what_is_kustomizes(kustomize(&kubectl, "with-creator"));
    without_what_is_helms(helm.render(&[ON])).assert_same(&both);
}

/// Neither program has what the other needs, and nobody has Secrets of the whole cluster.
#[test]
fn rights_are_one_programs_alone() {
    let test = "rights_are_one_programs_alone";
    let Some(kubectl) = kubectl_or_skip(test) else { return };
    let objects = kustomize(&kubectl, "with-creator");
    let mut bound = BTreeSet::new();
    for binding in objects.of_kind("RoleBinding").chain(objects.of_kind("ClusterRoleBinding")) {
        let component = text(&binding["metadata"]["labels"]["app.kubernetes.io/component"]);
        let subjects = json!([{"kind": "ServiceAccount", "name": format!("keystow-{component}"), "namespace": "keystow"}]);
        assert_eq!(binding["subjects"], subjects, "{}", binding["metadata"]["name"]);
        let role = format!("{}/{}", text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
        let of_role = &objects.get(&role)["metadata"]["labels"]["app.kubernetes.io/component"];
        assert_eq!(of_role, component, "{role}");
        bound.insert(role);
    }
    let of_the_creator: Vec<&str> =
        bound.iter().map(String::as_str).filter(|role| role.contains("creator")).collect();
    assert_eq!(of_the_creator, ["ClusterRole/keystow-creator", "Role/keystow-creator"]);
    for role in of_the_creator {
        assert!(!objects.get(role)["rules"].to_string().contains("secrets"), "{role}");
    }
    let template = template(&objects);
    assert_eq!(template["spec"]["serviceAccountName"], "keystow-creator");
    assert_eq!(template["spec"]["automountServiceAccountToken"], false);
    assert_eq!(objects.get("ServiceAccount/keystow-creator")["automountServiceAccountToken"], false);
    // The Lease that the role is for.
    assert!(arguments(&objects).contains(&"--lease=keystow-creator"));
}

#[test]
fn secrets_are_its_own_namespace_by_namespace() {
    let Some(helm) = Helm::or_skip("secrets_are_its_own_namespace_by_namespace") else { return };
    let namespaces = r#"creator.secretNamespaces=["demo", "locked", "demo"]"#;
    let rendered = documents(&helm.manifest(&[ON, namespaces], "keystow"));
    let secrets: Vec<&Value> = rendered
        .iter()
        .filter(|object| text(&object["kind"]).ends_with("Binding"))
        .filter(|object| object["roleRef"]["name"] == "keystow-creator-secrets")
        .collect();
    let examples = example("examples/creator-rights.yaml");
    assert_eq!(secrets.len(), examples.len());
    for (ours, example) in secrets.iter().zip(&examples) {
        for field in ["kind", "roleRef", "subjects"] {
            assert_eq!(ours[field], example[field]);
        }
        assert_eq!(ours["kind"], "RoleBinding");
        for field in ["name", "namespace"] {
            assert_eq!(ours["metadata"][field], example["metadata"][field]);
        }
    }
}

/// A directory for each store with an audience, as the program looks for them.
#[test]
fn tokens_follow_the_stores() {
    let Some(helm) = Helm::or_skip("tokens_follow_the_stores") else { return };
    let volume = |values: &[&str]| {
        let objects = helm.render(&[&[ON], values].concat());
        let volume = named(&template(&objects)["spec"]["volumes"], "store-tokens").cloned();
        let mount = named(&container(&objects)["volumeMounts"], "store-tokens").cloned();
        assert_eq!(volume.is_some(), mount.is_some());
        let directory = mount.map(|mount| format!("--token-directory={}", text(&mount["mountPath"])));
        assert!(directory.is_none_or(|flag| arguments(&objects).contains(&flag.as_str())));
        volume
    };
    let tokens = |values: &[&str]| -> Vec<String> {
        let volume = volume(values);
        let sources = volume.iter().flat_map(|volume| volume["projected"]["sources"].as_array().unwrap());
        let token = |source: &Value| {
            let token = &source["serviceAccountToken"];
            format!("{} {}", text(&token["path"]), text(&token["audience"]))
        };
        sources.map(token).collect()
    };
    assert_eq!(tokens(&[]), [""; 0]);
    let stores = json!({
        "default": "prod",
        "prod": {"dynamodb": {"table": "prod-kube-secret", "audience": "sts.amazonaws.com"}},
        "vault": {"vault": {"auth": {"kubernetes": {"role": "app", "mount": "kubernetes", "audience": "vault"}}}},
    });
    let stores = format!("config.stores={stores}");
    // As the example for kustomize has it.
    let patch = &example("creator/tokens.example.yaml")[0];
    let expected = named(&patch["spec"]["template"]["spec"]["volumes"], "store-tokens");
    assert_eq!(volume(&[&stores]).as_ref(), expected);
    let others = json!({
        "by-jwt": {"vault": {"auth": {"jwt": {"audience": "jwt"}}}},
        "by-file": {"vault": {"auth": {"tokenFile": "/token"}}},
        "google": {"gcp": {"project": "p", "audience": "//iam"}},
        "azure": {"azure": {"vaultUrl": "https://a", "audience": "api"}},
        "chain": {"ssm": {}},
        "dev": {"local": null},
    });
    let others = format!("config.stores={others}");
    let own = r#"creator.tokens={"azure": "", "google": "mine", "chain": "sts"}"#;
    assert_eq!(tokens(&[&others]), ["azure/token api", "by-jwt/token jwt", "google/token //iam"]);
    assert_eq!(tokens(&[&others, own]), ["by-jwt/token jwt", "chain/token sts", "google/token mine"]);
}

#[test]
fn its_pods_are_as_they_are_asked_for() {
    let Some(helm) = Helm::or_skip("its_pods_are_as_they_are_asked_for") else { return };
    let toleration = json!([{"key": "infra", "operator": "Exists"}]);
    let creator = json!({
        "enabled": true, "replicas": 1,
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/creator"}},
        "resources": {"limits": null},
        "priorityClassName": "mine",
        "extraEgress": [{"ports": [{"port": 8200}]}],
        "podLabels": {"azure.workload.identity/use": "true"}, "podAnnotations": {"note": "x"},
        "extraArgs": ["--resync=5m"], "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "nodeSelector": {"pool": "infra"}, "tolerations": toleration, "affinity": {"nodeAffinity": {}},
    });
    let objects = helm.render(&[&format!("creator={creator}"), r#"log.level="debug""#]);
    let template = template(&objects);
    assert_eq!(template["metadata"]["labels"]["azure.workload.identity/use"], "true");
    assert_eq!(template["metadata"]["annotations"]["note"], "x");
    let spec = &template["spec"];
    for field in ["nodeSelector", "tolerations", "affinity", "priorityClassName"] {
        assert_eq!(spec[field], creator[field], "{field}");
    }
    let container = container(&objects);
    assert_eq!(container["resources"], json!({"requests": {"cpu": "20m", "memory": "32Mi"}}));
    assert_eq!(container["env"][3]["name"], "HTTPS_PROXY");
    assert!(arguments(&objects).ends_with(&["--log=debug", "--log-format=json", "--resync=5m"]));
    let account = &objects.get("ServiceAccount/keystow-creator")["metadata"]["annotations"];
    assert_eq!(*account, creator["serviceAccount"]["annotations"]);
    let egress = objects.get("NetworkPolicy/keystow-creator")["spec"]["egress"].as_array().unwrap();
    assert_eq!(egress.last(), Some(&creator["extraEgress"][0]));
    // One replica is not kept on its node; both classes are permitted.
    assert!(!objects.names().contains(&"PodDisruptionBudget/keystow-creator"));
    let quota = &objects.get("ResourceQuota/keystow-critical-pods")["spec"];
    let classes = json!(["system-cluster-critical", "mine"]);
    assert_eq!(quota["scopeSelector"]["matchExpressions"][0]["values"], classes);
    // The webhook's pods are as they were.
    assert_eq!(*objects.template(), *helm.render(&[r#"log.level="debug""#]).template());
}

#[test]
fn a_changed_file_rolls_its_pods_too() {
    let Some(helm) = Helm::or_skip("a_changed_file_rolls_its_pods_too") else { return };
    let identities = r#"config.creator={"identities": {"prod": "arn:aws:iam::123456789012:role/creator"}}"#;
    let prod = r#"config.stores.prod={"dynamodb": {"table": "secrets", "audience": "sts"}}"#;
    let rendered = helm.render(&[ON, prod, identities]);
    assert_ne!(*template(&helm.render(&[ON, prod])), *template(&rendered));
    let stores = keystow::config::read(rendered.configuration()).unwrap().creator_stores();
    let prod = stores.iter().find(|(name, _)| name.as_str() == "prod").unwrap().1;
    assert!(serde_json::to_string(prod).unwrap().contains("role/creator"));
}

/// The port is one that the pods have by this name, the pods are those that are selected, and the job is the alerts'.
#[test]
fn its_metrics_are_scraped_under_the_alerts_job() {
    let Some(helm) = Helm::or_skip("its_metrics_are_scraped_under_the_alerts_job") else { return };
    let objects = helm.render(&[ON, "serviceMonitor.enabled=true"]);
    let monitor = &objects.get("PodMonitor/keystow-creator")["spec"];
    let endpoint = &monitor["podMetricsEndpoints"][0];
    assert_eq!(endpoint["port"], container(&objects)["ports"][0]["name"]);
    let labels = &template(&objects)["metadata"]["labels"];
    for (label, value) in monitor["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(labels[label], *value);
    }
    let rules = fs::read_to_string(shipped("chart/monitoring/prometheusrule.yaml")).unwrap();
    assert!(rules.contains(&format!(r#"{{job="{}"}}"#, text(&endpoint["relabelings"][0]["replacement"]))));
    assert_eq!(helm.render(&["serviceMonitor.enabled=true"]).of_kind("PodMonitor").count(), 0);
}

#[test]
fn the_program_knows_its_flags() {
    let Some(kubectl) = kubectl_or_skip("the_program_knows_its_flags") else { return };
    knows_its_flags("create", &arguments(&kustomize(&kubectl, "with-creator")));
}
