//! What the creator makes: the time of each recipe, its test included.
//!
//! An RSA key is looked for by chance, so times of one size differ by a factor of ten: many keys, and their mean.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use keystow::domain::{Modulus, NamedCurve, Recipe};
use keystow::generate::fresh;

fn recipes(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(20));
    for (name, samples, recipe) in [
        ("rsa-2048", 50, Recipe::Rsa(Modulus::Bits2048)),
        ("rsa-3072", 30, Recipe::Rsa(Modulus::Bits3072)),
        ("rsa-4096", 20, Recipe::Rsa(Modulus::Bits4096)),
        #[cfg(feature = "gpg")]
        (
            "gpg-2048",
            50,
            Recipe::Gpg { size: Modulus::Bits2048, user_id: "mail<mail@example.org>".to_owned() },
        ),
        #[cfg(feature = "gpg")]
        (
            "gpg-4096",
            20,
            Recipe::Gpg { size: Modulus::Bits4096, user_id: "mail<mail@example.org>".to_owned() },
        ),
        ("ec-256", 50, Recipe::Ec(NamedCurve::P256)),
        ("ec-384", 50, Recipe::Ec(NamedCurve::P384)),
        ("ed25519", 50, Recipe::Ed25519),
        ("random-256", 50, Recipe::Random { bits: 256 }),
        ("password-128", 50, Recipe::Password { bits: 128 }),
    ] {
        group.sample_size(samples);
        group.bench_function(name, |b| b.iter(|| fresh::make(black_box(&recipe), SystemTime::UNIX_EPOCH)));
    }
    group.finish();
}

criterion_group!(benches, recipes);
criterion_main!(benches);
