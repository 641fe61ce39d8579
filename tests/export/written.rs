//! What exports look like: as formatters have it, in an order of its own, and with a clear word where there is nothing.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{data, exported, refused};
use crate::support::programs::{cache, pinned, skip};

/// Pins the version that `tests/hclfmt/build.sh` builds.
const GO_MOD: &str = include_str!("../hclfmt/go.mod");

fn hclfmt(test: &str) -> Option<PathBuf> {
    let version = pinned(GO_MOD, "github.com/hashicorp/hcl/v2").expect("a pinned version");
    let program = cache(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .map(|cache| cache.join("hclfmt").join(format!("hcl-{version}")).join("hclfmt"))
        .filter(|program| program.is_file());
    if program.is_none() {
        skip(test, "formatter of HCL", "no hclfmt in the cache; tests/hclfmt/build.sh builds it");
    }
    program
}

fn formatted(hclfmt: &PathBuf, text: &str) -> String {
    let mut child = Command::new(hclfmt)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every policy in HCL, of the same manifests.
const POLICIES: [&[&str]; 5] = [
    &["terraform", "--module", "shop"],
    &["terraform", "--module", "shop", "--store", "ssm"],
    &["terraform", "--module", "shop", "--store", "secretsmanager", "--prefix", "/${var.environment_name}"],
    &["vault-policy"],
    &["vault-policy", "--mount", "kv", "--kv-version", "1"],
];

#[test]
fn policies_are_formatted_as_terraform_formats_them() {
    let Some(hclfmt) = hclfmt("policies_are_formatted_as_terraform_formats_them") else { return };
    for file in ["service.yaml", "kees.yaml"] {
        let file = data(file).display().to_string();
        for arguments in POLICIES {
            // A path in Vault begins with a slash, which that prefix of kees' does not.
            let prefix: &[&str] = if arguments.contains(&"--prefix") { &[] } else { &["--prefix", "/veza"] };
            let (text, _) = exported(&[arguments, prefix, &["-f", &file]].concat());
            assert_eq!(formatted(&hclfmt, &text), text, "{arguments:?}");
        }
    }
}

#[test]
fn the_order_of_files_and_documents_changes_no_byte() {
    let directory = TempDir::new().unwrap();
    let text = fs::read_to_string(data("service.yaml")).unwrap();
    let mut documents: Vec<&str> = text.split("---\n").collect();
    documents.reverse();
    fs::create_dir_all(directory.path().join("below/deep")).unwrap();
    for (at, document) in documents.iter().enumerate() {
        let name = ["a.yml", "below/b.yaml", "below/deep/c.yaml"][at];
        fs::write(directory.path().join(name), document).unwrap();
    }
    fs::write(directory.path().join("notes.txt"), "kind: {").unwrap();
    let (one, many) = (data("service.yaml").display().to_string(), directory.path().display().to_string());
    let others: [&[&str]; 2] = [&["rbac"], &["external-secrets", "--secret-store", "vault"]];
    for arguments in POLICIES.iter().chain(&others) {
        let (expected, _) = exported(&[arguments, &["-f", &one][..]].concat());
        let (found, _) = exported(&[arguments, &["-f", &many][..]].concat());
        assert_eq!(found, expected, "{arguments:?}");
        let (twice, _) = exported(&[arguments, &["-f", &many, "-f", &one][..]].concat());
        assert_eq!(twice, expected, "{arguments:?}");
    }
}

fn objects(text: &str) -> Vec<Value> {
    text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

#[test]
fn each_secret_that_is_named_has_an_external_secret() {
    let directory = TempDir::new().unwrap();
    let pods = directory.path().join("pods.yaml");
    let text = "\
kind: Pod
metadata:
  name: a
  namespace: shop
  annotations:
    secret.bsycorp.com/a: kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=A
    secret.bsycorp.com/b: kind=KUBERNETES,secret=jwt-secret,key=old-key,env=B
    secret.bsycorp.com/c: kind=KUBERNETES,secret=all,envFrom=true
    secret.bsycorp.com/d: kind=KUBERNETES,secret=all,key=one,env=D
";
    fs::write(&pods, text).unwrap();
    let pods = pods.display().to_string();
    let (text, _) = exported(&[
        "external-secrets",
        "-f",
        &pods,
        "--secret-store",
        "vault",
        "--refresh-interval",
        // Go, which External Secrets is written in, knows no days.
        "1d",
        "--key-prefix",
        "veza/",
    ]);
    let store = json!({"kind": "ClusterSecretStore", "name": "vault"});
    let remote =
        |key: &str| json!({"secretKey": key, "remoteRef": {"key": "veza/jwt-secret", "property": key}});
    let expected = [
        json!({"refreshInterval": "86400s", "secretStoreRef": store, "target": {"name": "all", "creationPolicy": "Owner"},
            "dataFrom": [{"extract": {"key": "veza/all"}}]}),
        json!({"refreshInterval": "86400s", "secretStoreRef": store,
            "target": {"name": "jwt-secret", "creationPolicy": "Owner"},
            "data": [remote("old-key"), remote("secret-key")]}),
    ];
    let found = objects(&text);
    assert_eq!(found.iter().map(|object| object["spec"].clone()).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|object| object["metadata"]["namespace"] == "shop"
        && object["apiVersion"] == "external-secrets.io/v1"
        && object["kind"] == "ExternalSecret"));
}

#[test]
fn roles_are_for_each_identity_and_name_what_it_reads() {
    let service = data("service.yaml").display().to_string();
    let names = |arguments: &[&str]| {
        let (text, _) = exported(&[&["rbac", "-f", &service], arguments].concat());
        let roles = objects(&text).into_iter().filter(|object| object["kind"] == "Role");
        let named = |role: Value| {
            let names: Vec<Value> = role["rules"][0]["resourceNames"].as_array().unwrap().clone();
            (role["metadata"]["name"].as_str().unwrap().to_owned(), names)
        };
        roles.map(named).collect::<std::collections::BTreeMap<_, _>>()
    };
    let all = names(&[]);
    assert_eq!(all["keystow-api-shop"], [json!("jwt-secret")]);
    assert!(all["keystow-init-shop"].contains(&json!("veza--production--db")));
    assert_eq!(names(&["--init-only"]).keys().collect::<Vec<_>>(), ["keystow-init-shop"]);
}

#[test]
fn flags_of_external_secrets_are_what_the_operator_takes() {
    let pod = data("service.yaml").display().to_string();
    for (flags, told) in [
        (&["--secret-store", "A_!"][..], "the name of an object"),
        (&["--secret-store", "s", "--refresh-interval", "often"], "a duration has"),
    ] {
        let (code, said) = refused(&[&["external-secrets", "-f", &pod], flags].concat());
        assert!(code == Some(64) && said.contains(told), "{flags:?}: {said}");
    }
}

#[test]
fn what_cannot_be_exported_is_told_with_the_way_out() {
    let directory = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let nothing = write("nothing.yaml", "kind: Pod\nmetadata: {name: a}\n");
    let wrong = write(
        "wrong.yaml",
        "kind: Pod\nmetadata: {name: a, annotations: {secret.bsycorp.com/a: kind=X, secret.bsycorp.com/b: kind=Y}}\n---\nkind: [\n",
    );
    let two = write(
        "two.yaml",
        "kind: Pod\nmetadata: {name: a, annotations: {secret.bsycorp.com/a: 'kind=REFERENCE,type=PASSWORD'}}\nspec: {serviceAccountName: a}\n---\nkind: Pod\nmetadata: {name: b, annotations: {secret.bsycorp.com/b: 'kind=REFERENCE,type=PASSWORD'}}\nspec: {serviceAccountName: b}\n",
    );
    let relative = write(
        "relative.yaml",
        "kind: Pod\nmetadata: {name: a, annotations: {init.bsycorp.com/storage-prefix: local, secret.bsycorp.com/a: 'kind=REFERENCE,type=PASSWORD'}}\n",
    );
    let bomb = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(10_000), "*a,".repeat(10_000));
    let bomb = write("bomb.yaml", &bomb);
    for (arguments, code, told) in [
        (&["terraform", "-f", &nothing][..], 65, &["no pod in these files asks for anything"][..]),
        (&["terraform", "-f", &wrong], 65, &["kind=X", "kind=Y", "line 4 is not YAML", "wrong.yaml"]),
        (&["terraform"], 64, &["give some by -f"]),
        (&["terraform", "-f", "/nowhere.yaml"], 66, &["cannot read /nowhere.yaml"]),
        (&["terraform", "-f", &two, "--module", "1a"], 65, &["is no name for a module"]),
        (
            &["terraform", "-f", &two, "--service-account", "c"],
            65,
            &["nobody here runs as c, but as: default/a, default/b"],
        ),
        (
            &["external-secrets", "-f", &two, "--secret-store", "s"],
            65,
            &["no annotation in these files names a Secret"],
        ),
        (&["terraform", "-f", &bomb], 65, &["has too much in it, be it by aliases"]),
        (&["vault-policy", "-f", &relative], 65, &["a path in Vault begins with `/`"]),
        (&["vault-policy", "-f", &two, "--prefix", "/a/../b"], 64, &["--prefix is not a storage prefix"]),
    ] {
        let (found, said) = refused(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {said}");
        assert!(told.iter().all(|told| said.contains(told)), "{arguments:?}: {said}");
    }
    let (text, warned) = exported(&["terraform", "-f", &two]);
    assert!(
        text.contains("\"/a\"")
            && text.contains("\"/b\"")
            && warned.contains("each could read what the others"),
        "{warned}"
    );
    let (text, warned) = exported(&["terraform", "-f", &two, "--service-account", "a"]);
    assert!(text.contains("\"/a\"") && !text.contains("\"/b\"") && warned.is_empty(), "{warned}");
}
