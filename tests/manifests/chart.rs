//! What the chart renders: with its defaults the kustomize base, and with each mode and setting what it says.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::objects::{Objects, text};
use super::tools::{Helm, helm_and_kubectl_or_skip, kustomize};

/// Labels that Helm's users expect on objects, and kustomize's do not.
const LABELS_OF_HELM: [&str; 2] = ["app.kubernetes.io/managed-by", "helm.sh/chart"];

/// The pod templates of all programs.
fn templates(objects: &mut Objects) -> impl Iterator<Item = &mut Value> {
    objects.0.values_mut().filter_map(|object| match object["kind"].as_str()? {
        "Deployment" => object.pointer_mut("/spec/template"),
        "CronJob" => object.pointer_mut("/spec/jobTemplate/spec/template"),
        _ => None,
    })
}

/// The chart's rendering without what it may have over kustomize's: two labels, and the annotation that rolls pods.
pub(super) fn without_what_is_helms(mut objects: Objects) -> Objects {
    for object in objects.0.values_mut() {
        let labels = object["metadata"]["labels"].as_object_mut().expect("labels");
        for label in LABELS_OF_HELM {
            assert!(labels.remove(label).is_some(), "{label} is on every object of the chart");
        }
    }
    for template in templates(&mut objects) {
        let annotations = template["metadata"].as_object_mut().unwrap().remove("annotations").unwrap();
        assert_eq!(annotations.as_object().unwrap().keys().collect::<Vec<_>>(), ["checksum/config"]);
    }
    comparable(objects)
}

/// Kustomize's rendering without what it may have over the chart's: the Namespace, which Helm makes, and the hash in the
/// ConfigMap's name, for which the chart has a checksum.
pub(super) fn without_what_is_kustomizes(mut objects: Objects) -> Objects {
    objects.0.remove("Namespace/keystow").expect("the namespace");
    let hashed =
        objects.of_kind("ConfigMap").map(|map| text(&map["metadata"]["name"]).to_owned()).next().unwrap();
    let (name, hash) = hashed.rsplit_once('-').unwrap();
    assert_eq!((name, hash.len()), ("keystow-config", 10));
    let mut map = objects.0.remove(&format!("ConfigMap/{hashed}")).unwrap();
    map["metadata"]["name"] = json!(name);
    objects.0.insert(format!("ConfigMap/{name}"), map);
    for template in templates(&mut objects) {
        let volumes = template["spec"]["volumes"].as_array_mut().unwrap();
        let volume = volumes.iter_mut().find(|volume| volume["name"] == "config").unwrap();
        assert_eq!(volume["configMap"]["name"], hashed);
        volume["configMap"]["name"] = json!(name);
    }
    comparable(objects)
}

/// What says the same is the same: the configuration file is compared as YAML (the base's has comments), volumes and mounts in
/// whatever order they stand (kustomize puts those of a patch first).
fn comparable(mut objects: Objects) -> Objects {
    let file = &mut objects.0.get_mut("ConfigMap/keystow-config").unwrap()["data"]["config.yaml"];
    *file = serde_saphyr::from_str(text(file)).unwrap();
    for template in templates(&mut objects) {
        for list in ["/spec/volumes", "/spec/containers/0/volumeMounts"] {
            let list = template.pointer_mut(list).and_then(Value::as_array_mut).unwrap();
            list.sort_by_key(|element| text(&element["name"]).to_owned());
        }
    }
    objects
}

#[test]
fn with_its_defaults_it_is_the_kustomize_base() {
    let test = "with_its_defaults_it_is_the_kustomize_base";
    let Some((helm, kubectl)) = helm_and_kubectl_or_skip(test) else { return };
    let base = without_what_is_kustomizes(kustomize(&kubectl, "base"));
    without_what_is_helms(helm.render(&[])).assert_same(&base);
}

#[test]
fn with_cert_manager_it_is_the_overlay_with_its_certificates() {
    let test = "with_cert_manager_it_is_the_overlay_with_its_certificates";
    let Some((helm, kubectl)) = helm_and_kubectl_or_skip(test) else { return };
    let mut overlay = without_what_is_kustomizes(kustomize(&kubectl, "cert-manager"));
    overlay.0.extend(kustomize(&kubectl, "../certs/cert-manager").0);
    without_what_is_helms(helm.render(&[r#"certificate.mode="certManager""#])).assert_same(&overlay);
}

/// All files, whatever the mode, and whatever the renderer.
#[test]
fn no_certificate_and_no_ca_bundle_are_rendered() {
    let test = "no_certificate_and_no_ca_bundle_are_rendered";
    let Some((helm, kubectl)) = helm_and_kubectl_or_skip(test) else { return };
    let modes = ["selfManaged", "certManager", "existingSecret"];
    let charts = modes.map(|mode| helm.render(&[&format!("certificate.mode={mode:?}")]));
    let overlays = ["base", "cert-manager"].map(|directory| kustomize(&kubectl, directory));
    for objects in charts.iter().chain(&overlays) {
        assert!(objects.webhook()["clientConfig"]["service"].is_object());
        assert_eq!(objects.webhook()["clientConfig"].get("caBundle"), None);
        assert_eq!(objects.of_kind("Secret").count(), 0);
    }
}

/// Whoever is given files needs no right to write Secrets or webhook configurations, and whoever looks for no pods none
/// to call the API at all.
#[test]
fn rights_and_token_follow_what_is_asked_for() {
    let Some(helm) = Helm::or_skip("rights_and_token_follow_what_is_asked_for") else { return };
    let existing = r#"certificate={"mode": "existingSecret", "secretName": "given"}"#;
    let files = helm.render(&[existing]);
    // Whoever looks for pods reads the configuration; whoever keeps its caBundle writes it.
    let writes_configurations = |objects: &Objects| {
        let rules = objects.of_kind("ClusterRole").flat_map(|role| role["rules"].as_array().unwrap());
        let mut rules = rules.filter(|rule| rule["resources"] == json!(["mutatingwebhookconfigurations"]));
        rules.any(|rule| rule["verbs"].as_array().unwrap().contains(&json!("patch")))
    };
    let managed = helm.render(&[]);
    assert!(managed.rules().contains("secrets") && writes_configurations(&managed));
    assert!(!files.rules().contains("secrets") && !writes_configurations(&files));
    assert!(files.rules().contains("leases") && files.rules().contains("pods"));
    let volumes = files.template()["spec"]["volumes"].as_array().unwrap();
    let tls = volumes.iter().find(|volume| volume["name"] == "tls").unwrap();
    assert_eq!(tls["secret"]["secretName"], "given");
    let arguments = files.arguments();
    assert!(arguments.contains(&"--tls-cert=/tls/tls.crt") && !arguments.contains(&"--self-managed"));
    let configuration = files.get("MutatingWebhookConfiguration/inject-keystow");
    assert_eq!(configuration["metadata"].get("annotations"), None);

    let silent = helm.render(&[existing, "findUninjected=false"]);
    assert_eq!(silent.rules(), "");
    assert_eq!(silent.of_kind("RoleBinding").chain(silent.of_kind("ClusterRoleBinding")).count(), 0);
    let volumes = silent.template()["spec"]["volumes"].to_string();
    assert!(!volumes.contains("serviceAccountToken"), "{volumes}");
    assert_eq!(silent.get("NetworkPolicy/keystow-webhook")["spec"]["egress"], json!([]));
    let arguments = silent.arguments();
    assert!(arguments.iter().all(|flag| !flag.starts_with("--lease") && *flag != "--find-uninjected"));
}

#[test]
fn another_domain_is_everywhere() {
    let Some(helm) = Helm::or_skip("another_domain_is_everywhere") else { return };
    let values = [r#"config.annotationDomain="secrets.example.com""#, "creator.enabled=true"];
    let manifest = helm.manifest(&values, "keystow");
    assert!(!manifest.contains("bsycorp"), "{manifest}");
    let objects = Objects::read(&manifest);
    let webhook = objects.webhook();
    assert_eq!(webhook["name"], "inject.secrets.example.com");
    assert_eq!(
        webhook["namespaceSelector"]["matchLabels"],
        json!({"inject.secrets.example.com/enabled": "true"})
    );
    let conditions = webhook["matchConditions"].to_string();
    assert!(
        conditions.contains("'^(secret|resource|lease|inject)[.]secrets[.]example[.]com/'"),
        "{conditions}"
    );
    assert!(conditions.contains("['inject.secrets.example.com/enabled'] == 'false'"), "{conditions}");
    for (policy, rule) in [("NetworkPolicy/keystow-webhook", 1), ("NetworkPolicy/keystow-creator", 0)] {
        assert_eq!(
            objects.get(policy)["spec"]["ingress"][rule]["from"][1]["namespaceSelector"]["matchLabels"],
            json!({"inject.secrets.example.com/metrics": "true"})
        );
    }
    assert_eq!(
        keystow::config::read(objects.configuration()).unwrap().offline().domain.as_str(),
        "secrets.example.com"
    );
}

#[test]
fn another_namespace_is_everywhere() {
    let Some(helm) = Helm::or_skip("another_namespace_is_everywhere") else { return };
    let values = [r#"certificate.mode="certManager""#, "creator.enabled=true"];
    let objects = Objects::read(&helm.manifest(&values, "other"));
    for (name, object) in &objects.0 {
        let cluster_wide = ["ClusterRole", "MutatingWebhook"].iter().any(|kind| name.starts_with(kind));
        let expected = if cluster_wide { &Value::Null } else { &json!("other") };
        assert_eq!(&object["metadata"]["namespace"], expected, "{name}");
        for subject in object["subjects"].as_array().into_iter().flatten() {
            assert_eq!(subject["namespace"], "other", "{name}");
        }
    }
    let webhook = objects.webhook();
    assert_eq!(webhook["clientConfig"]["service"]["namespace"], "other");
    assert_eq!(webhook["namespaceSelector"]["matchExpressions"][0]["values"][0], "other");
    let annotations = &objects.get("MutatingWebhookConfiguration/inject-keystow")["metadata"]["annotations"];
    assert_eq!(annotations["cert-manager.io/inject-ca-from"], "other/keystow-tls");
    let names = &objects.get("Certificate/keystow-tls")["spec"]["dnsNames"];
    assert_eq!(*names, json!(["keystow-webhook.other.svc", "keystow-webhook.other.svc.cluster.local"]));
}

#[test]
fn the_operators_file_is_rendered_as_it_is() {
    let Some(helm) = Helm::or_skip("the_operators_file_is_rendered_as_it_is") else { return };
    let config = json!({
        "annotationDomain": "bsycorp.com",
        "layout": "kees",
        "kubernetesVersion": "1.36",
        "injection": {
            "image": "registry.example/init:1",
            "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "1Gi"}},
            "volume": {"medium": "", "sizeLimit": "8Mi"},
        },
        "stores": {
            "default": "prod",
            "cluster": {"kubernetes": {}},
            "prod": {"dynamodb": {"table": "secrets", "region": "eu-west-1"}},
        },
        "prefixes": [{"namespaces": ["veza-*"], "allow": ["/veza/"]}],
        "localMode": {"namespaces": ["dev-*"]},
    });
    let objects = helm.render(&[&format!("config={config}")]);
    let rendered: Value = serde_saphyr::from_str(objects.configuration()).unwrap();
    assert_eq!(rendered, config);
    let settings = keystow::config::read(objects.configuration()).unwrap().offline();
    assert_eq!(settings.image, "registry.example/init:1");
    assert_eq!(settings.layout, keystow::domain::Layout::read("kees").unwrap());
    // Where a file says nothing, the chart says nothing either, but for the image.
    let bare = helm.render(&["config.injection=null", "config.layout=null", r#"image.tag="2""#]);
    assert_eq!(keystow::config::read(bare.configuration()).unwrap().offline().image, "keystow:2");
}

#[test]
fn a_changed_file_rolls_the_pods_and_nothing_else_does() {
    let Some(helm) = Helm::or_skip("a_changed_file_rolls_the_pods_and_nothing_else_does") else { return };
    let template = |values: &[&str]| helm.render(values).template().clone();
    let before = template(&[]);
    assert_ne!(template(&[r#"config.layout="kees""#]), before);
    let other = [r#"webhook.failurePolicy="Ignore""#, "replicas=3", "prometheusRule.enabled=true"];
    assert_eq!(template(&other), before);
}

#[test]
fn the_image_is_the_one_that_is_injected() {
    let Some(helm) = Helm::or_skip("the_image_is_the_one_that_is_injected") else { return };
    let digest = format!("sha256:{}", "a".repeat(64));
    let image = json!({"repository": "registry.example/keystow", "tag": "1", "pullPolicy": "Always",
                       "pullSecrets": [{"name": "pull"}]});
    for (image, expected) in [
        (image.clone(), "registry.example/keystow:1".to_owned()),
        (json!({"repository": "a/b", "tag": "1", "digest": digest}), format!("a/b@{digest}")),
    ] {
        let objects = helm.render(&[&format!("image={image}")]);
        assert_eq!(objects.container()["image"], expected);
        assert_eq!(keystow::config::read(objects.configuration()).unwrap().offline().image, expected);
    }
    let objects = helm.render(&[&format!("image={image}")]);
    assert_eq!(objects.container()["imagePullPolicy"], "Always");
    assert_eq!(objects.template()["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
}

#[test]
fn the_webhook_is_as_it_is_asked_for() {
    let Some(helm) = Helm::or_skip("the_webhook_is_as_it_is_asked_for") else { return };
    let own = json!({"name": "no-jobs", "expression": "!has(object.metadata.ownerReferences)"});
    let selector = json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]});
    let objects = helm.render(&[&format!(
        "webhook={}",
        json!({"failurePolicy": "Ignore", "timeoutSeconds": 3, "matchConditions": [own], "namespaceSelector": selector,
               "excludedNamespaces": ["kube-system", "keystow"], "annotations": {"a": "b"}})
    )]);
    let webhook = objects.webhook();
    assert_eq!((&webhook["failurePolicy"], &webhook["timeoutSeconds"]), (&json!("Ignore"), &json!(3)));
    let conditions = webhook["matchConditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 4);
    assert_eq!(conditions[3], own);
    // Its own namespace is left out all the same.
    let left_out = json!({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["keystow", "kube-system"]});
    let expressions = json!([{"key": "team", "operator": "Exists"}, left_out]);
    assert_eq!(webhook["namespaceSelector"], json!({"matchExpressions": expressions}));
    let metadata = &objects.get("MutatingWebhookConfiguration/inject-keystow")["metadata"];
    assert_eq!(metadata["annotations"], json!({"a": "b"}));
}

#[test]
fn pods_are_as_they_are_asked_for() {
    let Some(helm) = Helm::or_skip("pods_are_as_they_are_asked_for") else { return };
    let toleration = json!([{"key": "infra", "operator": "Exists"}]);
    let affinity = json!({"nodeAffinity": {}});
    let resources = json!({"requests": {"memory": "64Mi"}, "limits": null});
    let values = [
        ("podLabels", json!({"team": "platform"})),
        ("podAnnotations", json!({"note": "x"})),
        ("labels", json!({"cost": "1", "app.kubernetes.io/name": "not-taken"})),
        ("annotations", json!({"owner": "platform"})),
        ("nodeSelector", json!({"pool": "infra"})),
        ("tolerations", toleration.clone()),
        ("affinity", affinity.clone()),
        ("resources", resources),
        ("extraArgs", json!(["--grace=10s"])),
        ("extraEnv", json!([{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}])),
        ("log", json!({"level": "info,keystow::certs=debug", "format": "text"})),
        ("certificate", json!({"selfManaged": {"caLifetime": "8760h", "leafLifetime": "720h"}})),
        ("replicas", json!(1)),
        ("priorityClassName", json!("")),
        (
            "networkPolicy",
            json!({"apiServerPorts": [16443], "apiServerAddresses": ["10.0.0.1/32"],
                                 "extraEgress": [{"ports": [{"port": 4318}]}]}),
        ),
    ];
    let values: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let objects = helm.render(&values.iter().map(String::as_str).collect::<Vec<_>>());

    let template = objects.template();
    assert_eq!(template["metadata"]["labels"]["team"], "platform");
    assert_eq!(template["metadata"]["annotations"]["note"], "x");
    let spec = &template["spec"];
    assert_eq!(spec["nodeSelector"], json!({"pool": "infra"}));
    assert_eq!((&spec["tolerations"], &spec["affinity"]), (&toleration, &affinity));
    assert_eq!(spec.get("priorityClassName"), None);
    let container = objects.container();
    assert_eq!(container["resources"], json!({"requests": {"cpu": "10m", "memory": "64Mi"}}));
    assert_eq!(container["env"][3]["name"], "HTTPS_PROXY");
    let arguments = objects.arguments();
    let expected = [
        "--log=info,keystow::certs=debug",
        "--log-format=text",
        "--ca-lifetime=8760h",
        "--leaf-lifetime=720h",
    ];
    assert!(arguments.ends_with(&[&expected[..], &["--grace=10s"]].concat()), "{arguments:?}");
    for object in objects.0.values() {
        let metadata = &object["metadata"];
        assert_eq!(
            (&metadata["labels"]["cost"], &metadata["annotations"]["owner"]),
            (&json!("1"), &json!("platform"))
        );
        assert_eq!(metadata["labels"]["app.kubernetes.io/name"], "keystow");
    }
    // One replica is not kept on its node, and without the class there is nothing to permit.
    assert_eq!(objects.of_kind("PodDisruptionBudget").chain(objects.of_kind("ResourceQuota")).count(), 0);
    let egress = &objects.get("NetworkPolicy/keystow-webhook")["spec"]["egress"];
    let server = json!({"ports": [{"port": 16443}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]});
    assert_eq!(*egress, json!([server, {"ports": [{"port": 4318}]}]));
}

#[test]
fn another_issuer_needs_no_ca_of_ours() {
    let Some(helm) = Helm::or_skip("another_issuer_needs_no_ca_of_ours") else { return };
    let certificate = json!({"mode": "certManager", "certManager": {"issuerRef": {"kind": "ClusterIssuer", "name": "company"}}});
    let objects = helm.render(&[&format!("certificate={certificate}")]);
    assert_eq!(objects.of_kind("Issuer").count(), 0);
    let issuer = json!({"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "company"});
    assert_eq!(
        objects.of_kind("Certificate").map(|one| &one["spec"]["issuerRef"]).collect::<Vec<_>>(),
        [&issuer]
    );
}

#[test]
fn monitoring_is_what_is_shipped_beside_the_chart() {
    let test = "monitoring_is_what_is_shipped_beside_the_chart";
    let Some((helm, kubectl)) = helm_and_kubectl_or_skip(test) else { return };
    let on = ["serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboard.enabled=true"];
    let chart = helm.render(&on);
    let shipped = kustomize(&kubectl, "monitoring");
    assert_eq!(shipped.names(), ["ConfigMap/keystow-dashboard", "PrometheusRule/keystow-webhook"]);
    for (name, object) in &shipped.0 {
        let data = if name.starts_with("ConfigMap") { "data" } else { "spec" };
        let (ours, theirs) = (chart.get(name), object);
        if data == "data" {
            assert_eq!(
                text(&ours[data]["keystow.json"]).trim_end(),
                text(&theirs[data]["keystow.json"]).trim_end()
            );
            assert_eq!(ours["metadata"]["labels"]["grafana_dashboard"], "1");
        } else {
            assert_eq!(ours[data], theirs[data]);
        }
    }
    // The port is one that the pods have by this name, and the Service is the one that is selected.
    let monitor = &chart.get("ServiceMonitor/keystow-webhook")["spec"];
    assert_eq!(monitor["endpoints"][0]["targetPort"], chart.container()["ports"][1]["name"]);
    let service = &chart.get("Service/keystow-webhook")["metadata"]["labels"];
    for (label, value) in monitor["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(service[label], *value);
    }
    assert_eq!(helm.render(&[]).of_kind("ServiceMonitor").count(), 0);
}

/// Whatever the mode, the program knows the flags that it is started with.
#[test]
fn the_program_knows_its_flags() {
    let Some(helm) = Helm::or_skip("the_program_knows_its_flags") else { return };
    let lifetimes = r#"certificate.selfManaged={"caLifetime": "8760h", "leafLifetime": "720h"}"#;
    for objects in [helm.render(&[lifetimes]), helm.render(&[r#"certificate.mode="existingSecret""#])] {
        knows_its_flags("webhook", &objects.arguments());
    }
}

/// Asserts that the arguments are the command and flags that it has.
pub(super) fn knows_its_flags(command: &str, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_keystow")).args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let known: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--"))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert!(known.contains("config"), "{help}");
    assert_eq!(arguments[0], command);
    for argument in &arguments[1..] {
        let flag = argument.split('=').next().unwrap();
        let is_known = flag.strip_prefix("--").is_some_and(|name| known.contains(name));
        assert!(is_known, "{argument}");
    }
}
