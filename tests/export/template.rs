//! Templates as kees' exporter takes them. What `.tf` and `.txt` have was made of the same manifest and templates by
//! handlebars.java 4.0.6, which kees uses, with its settings, and is compared byte by byte.

use std::fs;

use tempfile::TempDir;

use crate::program::{data, exported, refused};

#[test]
fn a_template_and_a_manifest_give_the_bytes_that_kees_gives() {
    let manifest = data("kees.yaml").display().to_string();
    for (template, expected) in [("policy.hbs", "policy.tf"), ("everything.hbs", "everything.txt")] {
        let template = data(template).display().to_string();
        let expected = fs::read_to_string(data(expected)).unwrap();
        let (short, _) = exported(&["-i", &manifest, "-t", &template, "-m", "orders"]);
        assert!(
            short == expected,
            "{template}:\n{}",
            similar::TextDiff::from_lines(&expected, &short).unified_diff()
        );
        let (long, _) = exported(&["--input", &manifest, "--template", &template, "--module", "orders"]);
        let (named, _) =
            exported(&["terraform", "-f", &manifest, "--template", &template, "--module", "orders"]);
        assert!(long == expected && named == expected);
    }
}

#[test]
fn the_output_is_written_into_the_file_that_is_named() {
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("out.tf");
    fs::write(&output, "old").unwrap();
    let [manifest, template] = ["kees.yaml", "policy.hbs"].map(|name| data(name).display().to_string());
    let (printed, _) =
        exported(&["-i", &manifest, "-t", &template, "-m", "orders", "-o", output.to_str().unwrap()]);
    assert_eq!(printed, "");
    assert_eq!(fs::read(&output).unwrap(), fs::read(data("policy.tf")).unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let nowhere = directory.path().join("no/out.tf");
    let (code, told) =
        refused(&["-i", &manifest, "-t", &template, "-m", "x", "-o", nowhere.to_str().unwrap()]);
    assert!(code == Some(73) && told.contains("cannot write"), "{told}");
}

#[test]
fn what_several_pods_name_is_listed_once_and_what_one_names_twice_is_listed_twice() {
    let directory = TempDir::new().unwrap();
    let template = directory.path().join("names.hbs");
    fs::write(&template, "{{#each parameters}}{{storageSuffix}} {{/each}}").unwrap();
    let [kees, service] = ["kees.yaml", "service.yaml"].map(|name| data(name).display().to_string());
    let template = template.display().to_string();
    let (twice, _) = exported(&["-i", &kees, "-i", &kees, "-t", &template, "-m", "x"]);
    let (once, _) = exported(&["-i", &kees, "-t", &template, "-m", "x"]);
    assert_eq!(once, twice);
    assert_eq!(once.matches("identity-db.url ").count(), 2);
    let (service, _) = exported(&["-i", &service, "-t", &template, "-m", "x"]);
    assert_eq!(service.matches("db_password ").count(), 1, "{service}");
    assert!(service.contains("mail.host ") && !service.contains("jwt"), "{service}");
}

#[test]
fn a_template_that_is_none_is_told() {
    let directory = TempDir::new().unwrap();
    let template = directory.path().join("wrong.hbs");
    let manifest = data("kees.yaml").display().to_string();
    for (text, told) in [
        ("{{#each parameters}}", "cannot be read"),
        ("{{storageSuffix}}", "inside of {{#each parameters}}"),
        ("{{unknownHelper 1}}", "unknownHelper"),
        (r#"{{#*inline "a"}}{{> a}}{{/inline}}{{> a}}"#, "inline partial a includes itself"),
    ] {
        fs::write(&template, text).unwrap();
        let (code, said) = refused(&["-i", &manifest, "-t", template.to_str().unwrap(), "-m", "x"]);
        assert!(code == Some(65) && said.contains(told), "{text}: {said}");
    }
}

#[test]
fn a_comment_may_show_what_else_is() {
    let directory = TempDir::new().unwrap();
    let template = directory.path().join("commented.hbs");
    let text = "{{!-- {{#if}} {{else}} {{/if}} --}}{{! before {{else}}after\n{{#if moduleName}}yes{{else}}no{{/if}}\n";
    fs::write(&template, text).unwrap();
    let manifest = data("kees.yaml").display().to_string();
    let (rendered, _) = exported(&["-i", &manifest, "-t", template.to_str().unwrap(), "-m", "x"]);
    assert_eq!(rendered, "after\nyes\n");
}

#[test]
fn the_domain_is_said_by_kees_variable() {
    let directory = TempDir::new().unwrap();
    let manifest = directory.path().join("pod.yaml");
    let pod = "kind: Pod\nmetadata: {name: a, annotations: {secret.example.org/a: 'kind=REFERENCE,type=PASSWORD'}}\n";
    fs::write(&manifest, pod).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_keystow"))
        .args(["export", "-i", manifest.to_str().unwrap(), "-m", "m"])
        .env("ANNOTATION_DOMAIN", "example.org")
        .output()
        .unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("\"/a\""));
}
