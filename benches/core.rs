//! The core: bytes of a review in, bytes of the answer out, beside what `serde_json` needs to parse the same bytes.
//!
//! The budget is a ratio of one run: `answer/…` at most `parse/…` for `01-kees-example`. `size/…` shows how the cost
//! grows with containers and annotations. Figures are in `benches/RESULTS.md`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use keystow::config;
use keystow::webhook::injector::Injector;
use keystow::webhook::review::{Answer, Outcome, Review as _};
use serde_json::{Value, json};

fn recorded(name: &str) -> String {
    let path = format!("{}/tests/data/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

fn injector() -> Injector {
    Injector::new(config::read("").unwrap_or_else(|mistakes| panic!("{mistakes:?}")).offline())
}

fn reviews(c: &mut Criterion) {
    let injector = injector();
    let names = [
        "01-kees-example",
        "02-user-rpc-7d9f8c6b5",
        "03-gateway",
        "04-locked-app",
        "05-bad",
        "06-clashing",
        "07-dry",
    ];
    for name in names {
        let review = recorded(name);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(review.len() as u64));
        group.bench_function("answer", |b| b.iter(|| injector.answer(black_box(review.as_bytes()))));
        group.bench_function("parse", |b| {
            b.iter(|| serde_json::from_slice::<Value>(black_box(review.as_bytes())));
        });
        group.finish();
    }
}

/// A review of a pod with this many containers and secret annotations, a third of each kind of delivery.
fn generated(containers: usize, annotations: usize) -> String {
    let mut review: Value = serde_json::from_str(&recorded("01-kees-example")).unwrap_or_default();
    let pod = &mut review["request"]["object"];
    let secret = |index: usize| match index % 3 {
        0 => (format!("secret.bsycorp.com/stored.{index}"), "kind=REFERENCE,type=PASSWORD".to_owned()),
        1 => (
            format!("secret.bsycorp.com/env.{index}"),
            format!("kind=KUBERNETES,secret=s{index},key=k,env=SECRET_{index}"),
        ),
        _ => (
            format!("secret.bsycorp.com/path.{index}"),
            format!("kind=KUBERNETES,secret=s{index},path=/etc/secrets-{index},mode=0440"),
        ),
    };
    pod["metadata"]["annotations"] = (0..annotations).map(secret).map(|(k, v)| (k, json!(v))).collect();
    let container = pod["spec"]["containers"][0].clone();
    let copy = |index: usize| {
        let mut container = container.clone();
        container["name"] = format!("app-{index}").into();
        container
    };
    pod["spec"]["containers"] = (0..containers).map(copy).collect();
    review.to_string()
}

fn sizes(c: &mut Criterion) {
    let injector = injector();
    let mut group = c.benchmark_group("size");
    for (containers, annotations) in [(1, 3), (1, 25), (1, 200), (10, 25), (50, 25), (50, 200)] {
        let review = generated(containers, annotations);
        let Answer::Reviewed { record, .. } = injector.answer(review.as_bytes()) else { panic!("malformed") };
        assert_eq!(record.outcome, Outcome::Injected);
        let title = format!("{containers}-containers-{annotations}-annotations");
        group.throughput(Throughput::Elements(record.operations as u64));
        group.bench_function(BenchmarkId::new("answer", &title), |b| {
            b.iter(|| injector.answer(review.as_bytes()));
        });
        group.bench_function(BenchmarkId::new("parse", &title), |b| {
            b.iter(|| serde_json::from_slice::<Value>(review.as_bytes()));
        });
    }
    group.finish();
}

criterion_group!(benches, reviews, sizes);
criterion_main!(benches);
