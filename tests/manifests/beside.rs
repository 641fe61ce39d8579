//! What is shipped beside the base: the rotation, as a controller and as a CronJob, and the provider; by kustomize and by the
//! chart, which render the same.

use std::fs;
use std::path::{Component, Path};
use std::process::Command;

use serde_json::{Value, json};

use super::chart::{knows_its_flags, without_what_is_helms, without_what_is_kustomizes};
use super::objects::{Objects, text};
use super::support::control_plane::shared_or_skip;
use super::tools::{Helm, helm_and_kubectl_or_skip, kubectl_or_skip, shipped};

const ROTATE: &str = "rotate.enabled=true";
const PROVIDE: [&str; 2] = [
    "provider.enabled=true",
    r#"config.provider={"keys": "keystow/iam-signing-keys", "audience": "keystow", "callers": [{"subject": "external-secrets"}]}"#,
];

/// A kustomization of the base and these directories, as the documents have one make it.
fn with_the_base(kubectl: &Path, directories: &[&str]) -> Objects {
    let place = tempfile::tempdir().unwrap();
    // Kustomize takes no absolute paths.
    let root: String = place.path().canonicalize().unwrap().components().map(up).collect();
    let resources = ["base"].iter().chain(directories).map(|name| {
        format!(
            "- {root}{}\n",
            shipped(name).canonicalize().unwrap().display().to_string().trim_start_matches('/')
        )
    });
    let text = format!("resources:\n{}", resources.collect::<String>());
    fs::write(place.path().join("kustomization.yaml"), text).unwrap();
    let output = Command::new(kubectl).arg("kustomize").arg(place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Objects::read(std::str::from_utf8(&output.stdout).unwrap())
}

fn up(component: Component<'_>) -> &'static str {
    if matches!(component, Component::Normal(_)) { "../" } else { "" }
}

/// The pod templates of rotation and provider.
fn templates(objects: &Objects) -> Vec<(&str, &Value)> {
    let names = ["Deployment/keystow-rotate", "CronJob/keystow-rotate", "Deployment/keystow-provider"];
    let there = names.into_iter().filter(|name| objects.names().contains(name));
    there
        .map(|name| {
            let at = if name.starts_with("CronJob") {
                "/spec/jobTemplate/spec/template"
            } else {
                "/spec/template"
            };
            (name, objects.get(name).pointer(at).unwrap())
        })
        .collect()
}

#[test]
fn programs_know_their_flags_and_read_the_bases_file() {
    let Some(kubectl) = kubectl_or_skip("programs_know_their_flags_and_read_the_bases_file") else { return };
    let mut seen = Vec::new();
    for directories in [&["rotate", "provider"][..], &["rotate-cronjob"]] {
        let objects = with_the_base(&kubectl, directories);
        for (name, template) in templates(&objects) {
            seen.push(name.to_owned());
            let container = &template["spec"]["containers"][0];
            let arguments: Vec<&str> = container["args"].as_array().unwrap().iter().map(text).collect();
            knows_its_flags(arguments[0], &arguments);
            let volumes = template["spec"]["volumes"].as_array().unwrap();
            let config = volumes.iter().find(|volume| volume["name"] == "config").unwrap();
            let file = format!("ConfigMap/{}", text(&config["configMap"]["name"]));
            assert!(objects.names().contains(&file.as_str()), "{name} wants {file}");
        }
    }
    assert_eq!(seen, ["Deployment/keystow-rotate", "Deployment/keystow-provider", "CronJob/keystow-rotate"]);
}

/// The objects of a program in the chart, without what is Helm's, and in a kustomization.
fn both_ways(helm: &Helm, kubectl: &Path, values: &[&str], directories: &[&str]) -> [Objects; 2] {
    let mut both = [
        without_what_is_helms(helm.render(values)),
        without_what_is_kustomizes(with_the_base(kubectl, directories)),
    ];
    for objects in &mut both {
        // The section of the provider is in the chart's values, and in a file of whoever applies the kustomization.
        objects.0.remove("ConfigMap/keystow-config").expect("the configuration file");
    }
    both
}

#[test]
fn the_chart_is_what_kustomize_makes_of_them() {
    let Some((helm, kubectl)) = helm_and_kubectl_or_skip("the_chart_is_what_kustomize_makes_of_them") else {
        return;
    };
    let [chart, kustomized] =
        both_ways(&helm, &kubectl, &[&[ROTATE], &PROVIDE[..]].concat(), &["rotate", "provider"]);
    chart.assert_same(&kustomized);
    let as_a_cron_job = r#"rotate.schedule="*/5 * * * *""#;
    let [chart, kustomized] = both_ways(&helm, &kubectl, &[ROTATE, as_a_cron_job], &["rotate-cronjob"]);
    chart.assert_same(&kustomized);
}

/// Each namespace of the values has a binding, and the program looks at these and no others.
#[test]
fn the_charts_rotation_has_the_namespaces_of_the_values() {
    let test = "the_charts_rotation_has_the_namespaces_of_the_values";
    let Some(helm) = Helm::or_skip(test) else { return };
    let values = [ROTATE, r#"rotate.namespaces=["iam", "shop", "iam"]"#, "rotate.clusterStores=true"];
    let rendered: Vec<Value> = serde_saphyr::from_multiple(&helm.manifest(&values, "keystow")).unwrap();
    let bound: Vec<&str> = rendered
        .iter()
        .filter(|object| object["kind"] == "RoleBinding")
        .filter(|object| object["roleRef"]["name"] == "keystow-rotate-secrets")
        .map(|object| text(&object["metadata"]["namespace"]))
        .collect();
    assert_eq!(bound, ["iam", "shop"]);
    let deployment = rendered
        .iter()
        .find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == "keystow-rotate");
    let container = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0];
    let watched =
        container["env"].as_array().unwrap().iter().find(|one| one["name"] == "KEYSTOW_WATCH_NAMESPACE");
    assert_eq!(watched.unwrap()["value"], "iam,shop");
    // As the example for kustomize has it.
    let example = fs::read_to_string(shipped("rotate/cluster-stores.example.yaml")).unwrap();
    for expected in serde_saphyr::from_multiple::<Value>(&example).unwrap() {
        let ours = rendered.iter().find(|object| {
            object["kind"] == expected["kind"] && object["metadata"]["name"] == expected["metadata"]["name"]
        });
        for field in ["rules", "roleRef", "subjects"] {
            assert_eq!(ours.unwrap().get(field), expected.get(field), "{field}");
        }
    }
}

/// Keys in another namespace, a store with an audience, values in Secrets, certificates by cert-manager.
#[test]
fn the_charts_provider_follows_the_operators_file() {
    let test = "the_charts_provider_follows_the_operators_file";
    let Some(helm) = Helm::or_skip(test) else { return };
    let provider = json!({
        "keys": "iam/signing", "audience": "keystow", "store": "vault", "callers": [{"subject": "eso", "read": ["/a/"]}],
    });
    let stores = json!({
        "default": "cluster",
        "vault": {"vault": {"auth": {"kubernetes": {"role": "app", "mount": "kubernetes", "audience": "vault"}}}},
        "others": {"dynamodb": {"table": "t", "audience": "sts"}},
    });
    let values = [
        PROVIDE[0],
        &format!("config.provider={provider}"),
        &format!("config.stores={stores}"),
        r#"provider.storeSecrets=["a--db"]"#,
    ];
    let objects = helm.render(&values);
    let keys = objects.get("Role/keystow-provider");
    assert_eq!(keys["metadata"]["namespace"], "iam");
    assert_eq!(objects.get("RoleBinding/keystow-provider")["metadata"]["namespace"], "iam");
    assert_eq!(keys["rules"][0]["resourceNames"], json!(["signing"]));
    assert_eq!(objects.get("Role/keystow-provider-store")["rules"][0]["resourceNames"], json!(["a--db"]));
    let spec = &objects.get("Deployment/keystow-provider")["spec"]["template"]["spec"];
    let volume =
        |name: &str| spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name);
    let tokens = &volume("store-tokens").unwrap()["projected"]["sources"];
    let expected = json!([{"serviceAccountToken": {"path": "vault/token", "audience": "vault", "expirationSeconds": 3600}}]);
    assert_eq!(*tokens, expected, "of its own store alone");
    assert_eq!(objects.of_kind("Certificate").count(), 0);

    let managed = helm.render(&[&values[..], &[r#"certificate.mode="certManager""#]].concat());
    let certificate = &managed.get("Certificate/keystow-provider")["spec"];
    assert_eq!(certificate["secretName"], volume("tls").unwrap()["secret"]["secretName"]);
    assert_eq!(certificate["issuerRef"]["name"], "keystow-ca");
    assert_eq!(certificate["dnsNames"][0], "keystow-provider.keystow.svc");
    let own = r#"provider.certificate.issuerRef={"kind": "ClusterIssuer", "name": "company"}"#;
    let by_another = helm.render(&[&values[..], &[own]].concat());
    assert_eq!(by_another.get("Certificate/keystow-provider")["spec"]["issuerRef"]["name"], "company");

    let said = helm.refusal(PROVIDE[0]);
    assert!(said.contains("provider.enabled needs config.provider"), "{said}");
}

/// Under the jobs that the alerts are written for; what runs as a CronJob has no port to scrape.
#[test]
fn their_metrics_are_scraped() {
    let Some(helm) = Helm::or_skip("their_metrics_are_scraped") else { return };
    let values = [&[ROTATE, "serviceMonitor.enabled=true"], &PROVIDE[..]].concat();
    let objects = helm.render(&values);
    let rules = fs::read_to_string(shipped("chart/monitoring/prometheusrule.yaml")).unwrap();
    let (_, down) = rules.split_once(r#"job=~"keystow-("#).unwrap();
    let down: Vec<&str> = down.split_once(')').unwrap().0.split('|').collect();
    for name in ["keystow-rotate", "keystow-provider"] {
        let monitor = &objects.get(&format!("PodMonitor/{name}"))["spec"];
        let template = &objects.get(&format!("Deployment/{name}"))["spec"]["template"];
        assert_eq!(monitor["selector"]["matchLabels"], template["metadata"]["labels"]);
        let endpoint = &monitor["podMetricsEndpoints"][0];
        let ports = template["spec"]["containers"][0]["ports"].as_array().unwrap();
        assert!(ports.iter().any(|port| port["name"] == endpoint["port"]), "{name}");
        assert_eq!(endpoint["relabelings"][0]["replacement"], name);
        let component = name.strip_prefix("keystow-").unwrap();
        assert!(down.contains(&component), "the alert KeystowTargetDown is for {name}");
    }
    let by_cron_job = helm.render(&[&values[..], &[r#"rotate.schedule="@hourly""#]].concat());
    let monitors: Vec<&str> =
        by_cron_job.of_kind("PodMonitor").map(|monitor| text(&monitor["metadata"]["name"])).collect();
    assert_eq!(monitors, ["keystow-provider"]);
}

/// A right to Secrets is bound in a namespace, and nowhere for the whole cluster.
#[test]
fn nobody_has_secrets_of_the_whole_cluster() {
    let Some(kubectl) = kubectl_or_skip("nobody_has_secrets_of_the_whole_cluster") else { return };
    let objects = with_the_base(&kubectl, &["rotate", "provider"]);
    for binding in objects.of_kind("ClusterRoleBinding") {
        let role = format!("ClusterRole/{}", text(&binding["roleRef"]["name"]));
        assert!(!objects.get(&role)["rules"].to_string().contains("secrets"), "{role}");
    }
    let provider = objects.get("Role/keystow-provider")["rules"].clone();
    assert_eq!(
        provider,
        json!([{
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["iam-signing-keys"],
            "verbs": ["get", "list", "watch"],
        }])
    );
}

/// The namespace of the base is at the strictest Pod Security level, and an API server takes their pods there.
#[tokio::test]
async fn an_api_server_takes_their_pods_at_the_strictest_level() {
    let test = "an_api_server_takes_their_pods_at_the_strictest_level";
    let Some(kubectl) = kubectl_or_skip(test) else { return };
    let Some(plane) = shared_or_skip(test).await else { return };
    let strict = [("pod-security.kubernetes.io/enforce", "restricted")];
    plane.namespace("beside", &strict, &[]).await.unwrap();
    let mut taken = 0;
    for directories in [&["rotate", "provider"][..], &["rotate-cronjob"]] {
        let objects = with_the_base(&kubectl, directories);
        for (name, template) in templates(&objects) {
            let account = text(&template["spec"]["serviceAccountName"]);
            if taken == 0 || account != "keystow-rotate" {
                plane.service_account("beside", account, &[]).await.unwrap();
            }
            let mut pod = template.clone();
            pod["apiVersion"] = "v1".into();
            pod["kind"] = "Pod".into();
            pod["metadata"]["name"] = name.to_lowercase().replace('/', "-").into();
            pod["metadata"]["namespace"] = "beside".into();
            plane.kubectl(&["apply", "--dry-run=server", "-f", "-"], &pod.to_string()).await.unwrap();
            taken += 1;
        }
    }
    assert_eq!(taken, 3);
}
