//! What is done for each of many workloads where nobody waits for a review: manifests that are checked and exported, and
//! templates that are looked through for Secrets that they read once.
//!
//! Each is measured with ten workloads and with a thousand: the time for one should not grow with how many there are.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use keystow::domain::{AnnotationDomain, SecretValue};
use keystow::export::{Manifests, TerraformOptions, terraform};
use keystow::rotation::consumers::{hash, of_template};
use keystow::{check, config};
use serde_json::json;

const SERVICE: &str = include_str!("../tests/data/export/service.yaml");

/// This many services, each of its own name.
fn services(many: u64) -> String {
    let services = (0..many).map(|number| SERVICE.replace("name: shop", &format!("name: shop-{number}")));
    services.collect::<Vec<_>>().join("---\n")
}

fn manifests(c: &mut Criterion) {
    let settings = config::load(None).expect("defaults").offline();
    let options = check::Options { max_age: Duration::from_secs(90 * 86_400), production: false };
    let mut group = c.benchmark_group("manifests");
    group.sample_size(10);
    for many in [10, 1_000] {
        let text = services(many);
        group.throughput(Throughput::Elements(many));
        group.bench_with_input(BenchmarkId::new("check", many), &text, |b, text| {
            b.iter(|| {
                let mut world = check::World { namespace: "shop".to_owned(), ..check::World::default() };
                check::read_file(&mut world, "services.yaml", black_box(text));
                check::judge(&world, &check::Answers::default(), &settings, &options)
            });
        });
        group.bench_with_input(BenchmarkId::new("export-terraform", many), &text, |b, text| {
            b.iter(|| {
                let mut manifests = Manifests::new(&settings, "shop");
                manifests.add("services.yaml", black_box(text)).expect("manifests");
                terraform(&manifests.asking, TerraformOptions { module: "shop", raw_prefix: None })
            });
        });
    }
    group.finish();
}

fn consumers(c: &mut Criterion) {
    let domain = AnnotationDomain::new("bsycorp.com").expect("a domain");
    let variables: Vec<_> = (0..25)
        .map(|number| json!({"name": format!("V{number}"), "valueFrom": {"secretKeyRef": {"name": "app", "key": format!("k{number}")}}}))
        .collect();
    let template = json!({
        "metadata": {"annotations": {"secret.bsycorp.com/jwt": "kind=KUBERNETES,secret=jwt,key=token,env=JWT"}},
        "spec": {"containers": [{"name": "app", "env": variables}]},
    });
    let references = of_template(&template, "shop", &domain);
    assert_eq!(references.len(), 26);
    let data: BTreeMap<String, SecretValue> =
        (0..25).map(|number| (format!("k{number}"), SecretValue::new(vec![7; 64]))).collect();
    let salt = SecretValue::new(vec![1; 32]);
    let mut group = c.benchmark_group("consumers");
    group.bench_function("references-of-a-template", |b| {
        b.iter(|| of_template(black_box(&template), "shop", &domain));
    });
    group.bench_function("hashes-of-its-references", |b| {
        b.iter(|| references.iter().filter_map(|reference| hash(reference, black_box(&data), &salt)).count());
    });
    group.finish();
}

criterion_group!(benches, manifests, consumers);
criterion_main!(benches);
