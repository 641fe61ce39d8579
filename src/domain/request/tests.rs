//! The parser as a whole: one case for each refusal, and what is accepted beside it.

use super::*;
use crate::domain::{
    ApiKeyParty, ContainerName, Delivery, Encoding, Format, Generated, InitPosition, KeyHalf,
    KubernetesTarget, Layout, LocalMode, Modulus, Origin, SecretType, TemplateEnv,
};

fn parse(annotations: &[(&str, &str)]) -> Result<Parsed, Rejection> {
    let domain = AnnotationDomain::default();
    let grammar = Grammar { domain: &domain, taken_files: Layout::Keystow.taken_files() };
    let keys: Vec<String> = annotations.iter().map(|(key, _)| key.replace(".D/", ".bsycorp.com/")).collect();
    grammar.parse(keys.iter().map(String::as_str).zip(annotations.iter().map(|(_, value)| *value)))
}

fn accept(annotations: &[(&str, &str)]) -> (Requests, Vec<String>) {
    match parse(annotations).unwrap() {
        Parsed::Requests(requests, warnings) => {
            (*requests, warnings.iter().map(ToString::to_string).collect())
        }
        Parsed::OptedOut => panic!("opted out"),
    }
}

/// The problems, without the domain.
fn refuse(annotations: &[(&str, &str)]) -> Vec<String> {
    let problems = parse(annotations).unwrap_err().problems;
    problems.iter().map(|problem| problem.to_string().replace(".bsycorp.com/", ".D/")).collect()
}

/// Refused with exactly these problems.
macro_rules! refusals {
    ($($name:ident: [$($annotation:expr),+] => [$($problem:expr),+];)+) => {
        $(
            #[test]
            fn $name() {
                assert_eq!(refuse(&[$($annotation),+]), [$($problem),+]);
            }
        )+
    };
}

refusals! {
    kind_out_of_its_set: [("secret.D/x", "kind=BLAH,type=PASSWORD")]
        => ["secret.D/x: kind=BLAH is not one of DYNAMIC, REFERENCE, KUBERNETES"];
    kind_in_lower_case: [("secret.D/x", "kind=dynamic,type=RANDOM,size=8")]
        => ["secret.D/x: kind=dynamic is not one of DYNAMIC, REFERENCE, KUBERNETES"];
    kind_missing: [("secret.D/x", "")]
        => ["secret.D/x: kind is missing: one of DYNAMIC, REFERENCE, KUBERNETES"];
    type_missing: [("secret.D/x", "kind=REFERENCE")]
        => ["secret.D/x: type is missing: one of RSA, GPG, RANDOM, PASSWORD, EC, ED25519"];
    type_out_of_its_set: [("secret.D/x", "kind=REFERENCE,type=DSA")]
        => ["secret.D/x: type=DSA is not one of RSA, GPG, RANDOM, PASSWORD, EC, ED25519"];
    storage_key_among_the_indices: [("secret.D/x", "kind=DYNAMIC,type=RANDOM,size=8,storageKey=leases/x.0")]
        => ["secret.D/x: storageKey=leases/x.0 is not a storage key of a value: below leases/ are the holders of indices"];
    size_missing: [("secret.D/x", "kind=DYNAMIC,type=RANDOM")]
        => ["secret.D/x: size is missing: a number of bits from 1 to 8192"];
    size_no_number: [("secret.D/x", "kind=DYNAMIC,type=RANDOM,size=big")]
        => ["secret.D/x: size=big is not a number of bits from 1 to 8192, as type=RANDOM needs"];
    size_zero: [("secret.D/x", "kind=DYNAMIC,type=PASSWORD,size=0")]
        => ["secret.D/x: size=0 is not a number of bits from 1 to 8192, as type=PASSWORD needs"];
    size_too_large: [("secret.D/x", "kind=DYNAMIC,type=PASSWORD,size=8193")]
        => ["secret.D/x: size=8193 is not a number of bits from 1 to 8192, as type=PASSWORD needs"];
    rsa_of_1024_bits: [("secret.D/x_public", "kind=DYNAMIC,type=RSA,size=1024")]
        => ["secret.D/x_public: size=1024 is not 2048, 3072 or 4096, as type=RSA needs"];
    gpg_of_1024_bits: [("secret.D/x_public", "kind=DYNAMIC,type=GPG,size=1024,userId=a<b>")]
        => ["secret.D/x_public: size=1024 is not 2048, 3072 or 4096, as type=GPG needs"];
    ec_of_521_bits: [("secret.D/x_public", "kind=DYNAMIC,type=EC,size=521")]
        => ["secret.D/x_public: size=521 is not 256 or 384, as type=EC needs"];
    rsa_without_half: [("secret.D/x", "kind=DYNAMIC,type=RSA,size=2048")]
        => ["secret.D/x: this type is generated as a pair: the annotation's name must end in _public or _private"];
    ed25519_without_half: [("secret.D/x_key", "kind=DYNAMIC,type=ED25519")]
        => ["secret.D/x_key: this type is generated as a pair: the annotation's name must end in _public or _private"];
    rsa_password: [("secret.D/x_password", "kind=DYNAMIC,type=RSA,size=2048")]
        => ["secret.D/x_password: this type is generated as a pair: the annotation's name must end in _public or _private"];
    gpg_without_part: [("secret.D/x", "kind=DYNAMIC,type=GPG,size=2048,userId=a<b>")]
        => ["secret.D/x: type=GPG is generated as key and password: the annotation's name must end in _public, _private or _password"];
    gpg_without_user: [("secret.D/x_public", "kind=DYNAMIC,type=GPG,size=2048")]
        => ["secret.D/x_public: userId is missing: type=GPG needs one of the form user<email>"];
    gpg_with_half_a_user: [("secret.D/x_public", "kind=DYNAMIC,type=GPG,size=2048,userId=<a@b>")]
        => ["secret.D/x_public: userId=<a@b> is not of the form user<email>"];
    api_key_without_party: [("secret.D/api-key.x", "kind=DYNAMIC,type=RANDOM,size=128")]
        => ["secret.D/api-key.x: RANDOM named api-key… is generated for two parties: the annotation's name must end in _consumer or _provider"];
    two_halves_on_one_key: [
        ("secret.D/x_public", "kind=DYNAMIC,type=RSA,size=2048,storageKey=k"),
        ("secret.D/x_private", "kind=DYNAMIC,type=RSA,size=2048,storageKey=k")
    ] => ["secret.D/x_public: has the storageKey of x_private, which is another value: one would be lost"];
    halves_of_different_sizes: [
        ("secret.D/x_public", "kind=DYNAMIC,type=RSA,size=2048"),
        ("secret.D/x_private", "kind=DYNAMIC,type=RSA,size=4096")
    ] => ["secret.D/x_public: type, size and userId differ from those of x_private, generated with it"];
    two_kinds_on_one_key: [
        ("secret.D/a", "kind=DYNAMIC,type=RANDOM,size=128,storageKey=k"),
        ("secret.D/b", "kind=DYNAMIC,type=PASSWORD,size=128,storageKey=k")
    ] => ["secret.D/b: has the storageKey of a, which is another value: one would be lost"];
    storage_key_walks_up: [("secret.D/x", "kind=REFERENCE,type=RANDOM,storageKey=../y")]
        => ["secret.D/x: storageKey=../y is not a storage key: 1 to 512 characters, without `.` and `..` segments"];
    kubernetes_without_secret: [("secret.D/x", "kind=KUBERNETES,key=a,env=A")]
        => ["secret.D/x: secret is missing: the name of a Secret in the pod's namespace"];
    kubernetes_without_target: [("secret.D/x", "kind=KUBERNETES,secret=a")]
        => ["secret.D/x: give exactly one target: key and env, or envFrom=true, or path"];
    kubernetes_with_two_targets: [("secret.D/x", "kind=KUBERNETES,secret=a,key=k,env=A,path=/p")]
        => ["secret.D/x: give exactly one target: key and env, or envFrom=true, or path"];
    kubernetes_env_without_key: [("secret.D/x", "kind=KUBERNETES,secret=a,env=A")]
        => ["secret.D/x: key is missing: env takes one key of the Secret"];
    kubernetes_env_from_with_key: [("secret.D/x", "kind=KUBERNETES,secret=a,envFrom=true,key=k")]
        => ["secret.D/x: key does not go with envFrom=true, which takes all keys"];
    kubernetes_relative_path: [("secret.D/x", "kind=KUBERNETES,secret=a,path=etc/jwt")]
        => ["secret.D/x: path=etc/jwt is not an absolute directory below `/`, without `.`, `..`, `:` and `\\`"];
    kubernetes_bad_mode: [("secret.D/x", "kind=KUBERNETES,secret=a,path=/p,mode=0999")]
        => ["secret.D/x: mode=0999 is not an octal file mode from 0 to 0777, such as 0400"];
    kubernetes_bad_names: [("secret.D/x", "kind=KUBERNETES,secret=A,key=b/c,env=1")] => [
        "secret.D/x: secret=A is not the name of a Secret: at most 253 lower-case letters, digits, `-` and `.`",
        "secret.D/x: key=b/c is not a key of a Secret: at most 253 letters, digits, `-`, `_` and `.`",
        "secret.D/x: env=1 is not an environment variable's name: letters, digits, `_`, `-` and `.`, no digit first"
    ];
    kubernetes_optional_perhaps: [("secret.D/x", "kind=KUBERNETES,secret=a,envFrom=true,optional=yes")]
        => ["secret.D/x: optional=yes is not one of true, false"];
    bad_container_name: [("secret.D/x", "kind=REFERENCE,type=RANDOM,containers=app|B")]
        => ["secret.D/x: containers=app|B names `B`, which is not a container name: at most 63 lower-case letters, digits and `-`"];
    one_variable_twice: [
        ("secret.D/a", "kind=KUBERNETES,secret=s,key=a,env=A"),
        ("secret.D/b", "kind=REFERENCE,type=RANDOM,env=A")
    ] => ["secret.D/b: env=A is also set by a"];
    variable_of_a_secret_and_of_a_template: [
        ("secret.D/a", "kind=REFERENCE,type=RANDOM,env=A,containers=x"),
        ("inject.D/template.url", "x"), ("inject.D/template-env.url", "A")
    ] => ["inject.D/template-env.url: A is also set by a"];
    variable_of_two_templates: [
        ("inject.D/template.a", "x"), ("inject.D/template-env.a", "A"),
        ("inject.D/template.b", "x"), ("inject.D/template-env.b", "A")
    ] => ["inject.D/template-env.b: A is also set by template-env.a"];
    variable_of_no_template: [("inject.D/template.databaseUrl", "x"), ("inject.D/template-env.databaseurl", "A")]
        => ["inject.D/template-env.databaseurl: the pod has no template.databaseurl; did you mean template-env.databaseUrl?"];
    variable_of_a_template_without_a_name: [("inject.D/template.a", "x"), ("inject.D/template-env.a", "1A")]
        => ["inject.D/template-env.a: template-env=1A is not an environment variable's name: letters, digits, `_`, `-` and `.`, no digit first"];
    variable_of_a_template_that_is_a_line_already: [
        ("inject.D/format", "dotenv"), ("secret.D/db.url", "kind=REFERENCE,type=PASSWORD"),
        ("inject.D/template.a", "x"), ("inject.D/template-env.a", "DB_URL")
    ] => ["inject.D/template-env.a: DB_URL is also the line of db.url in secret.env: give that an env=…"];
    one_line_of_the_environment_file_twice: [
        ("inject.D/format", "dotenv"),
        ("secret.D/db.pw", "kind=REFERENCE,type=RANDOM"),
        ("secret.D/db-pw", "kind=REFERENCE,type=RANDOM")
    ] => ["secret.D/db.pw: is DB_PW in secret.env, and so is db-pw: give one env=…"];
    one_file_from_two_secrets: [
        ("secret.D/a", "kind=KUBERNETES,secret=s,key=k,path=/p"),
        ("secret.D/b", "kind=KUBERNETES,secret=t,key=k,path=/p")
    ] => ["secret.D/b: would be the same file below path=/p as a"];
    one_directory_for_two_audiences: [
        ("secret.D/a", "kind=KUBERNETES,secret=s,key=k,path=/p,containers=x"),
        ("secret.D/b", "kind=KUBERNETES,secret=s,key=l,path=/p")
    ] => ["secret.D/b: shares path=/p with a, but not its containers"];
    part_without_equals_sign: [("secret.D/x", "kind=REFERENCE,type=RANDOM,secret")]
        => ["secret.D/x: `secret` is not of the form key=value"];
    name_with_a_slash: [("secret.D/a/b", "kind=REFERENCE,type=RANDOM")]
        => ["secret.D/a/b: the part after `/` is not an annotation name: at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends"];
    lease_of_another_kind: [("lease.D/x", "kind=NAME,rangeStart=0,rangeEnd=1")]
        => ["lease.D/x: kind=NAME is not one of INDEX"];
    lease_without_anything: [("lease.D/x", "")] => [
        "lease.D/x: kind is missing: INDEX",
        "lease.D/x: rangeStart is missing: a whole number",
        "lease.D/x: rangeEnd is missing: a whole number"
    ];
    lease_of_an_inverted_range: [("lease.D/x", "kind=INDEX,rangeStart=2,rangeEnd=1")]
        => ["lease.D/x: rangeStart=2 is greater than rangeEnd=1"];
    lease_of_too_wide_a_range: [("lease.D/x", "kind=INDEX,rangeStart=0,rangeEnd=2000000000")]
        => ["lease.D/x: rangeStart=0 to rangeEnd=2000000000 are more than 100000 indices, each of which is looked at"];
    resource_in_the_place_of_the_secrets: [("resource.D/secret", "")]
        => ["resource.D/secret: the file secret of the mount directory is keystow's own; take another name"];
    resource_and_lease_of_one_name: [("resource.D/x", ""), ("lease.D/x", "kind=INDEX,rangeStart=0,rangeEnd=1")]
        => ["lease.D/x: would be the same file as resource.D/x"];
    local_mode_perhaps: [("init.D/local-mode", "maybe")]
        => ["init.D/local-mode: local-mode=maybe is not one of true, false, remote-then-local"];
    storage_prefix_walks_up: [("init.D/storage-prefix", "/a/../b")]
        => ["init.D/storage-prefix: storage-prefix=/a/../b is not a storage prefix such as /veza/production, without `.` and `..` segments"];
    local_resource_without_value: [("init.D/local-mode", "true"), ("resource.D/x", "")]
        => ["resource.D/x: local values need a localModeValue in base64 here: nothing can be derived"];
    local_reference_without_value: [("init.D/local-mode", "true"), ("secret.D/x", "kind=REFERENCE,type=RSA")]
        => ["secret.D/x: local values need a localModeValue in base64 here, or a name that ends in _public or _private"];
    local_gpg_without_part: [("init.D/local-mode", "true"), ("secret.D/x", "kind=REFERENCE,type=GPG")]
        => ["secret.D/x: local values need a localModeValue in base64 here, or a name that ends in _public, _private or _password"];
    every_steering_annotation: [
        ("inject.D/containers", "a,,b"), ("inject.D/enabled", "no"), ("inject.D/encoding", "hex"),
        ("inject.D/format", "toml"), ("inject.D/init-position", "middle"), ("inject.D/path", "/a/.."),
        ("inject.D/refresh", "soon"), ("inject.D/service-account", "A B"), ("inject.D/store", "_")
    ] => [
        "inject.D/containers: containers=a,,b is not a comma list of container names",
        "inject.D/enabled: enabled=no is not one of true, false",
        "inject.D/encoding: encoding=hex is not one of plain, base64",
        "inject.D/format: format=toml is not one of properties, dotenv, json, files",
        "inject.D/init-position: init-position=middle is not one of first, last",
        "inject.D/path: path=/a/.. is not an absolute directory below `/`, without `.`, `..`, `:` and `\\`",
        "inject.D/refresh: refresh=soon is no duration: a duration has a number and a unit (ms, s, m, h, d), such as 30s, 5m, 1h30m or 365d",
        "inject.D/service-account: service-account=A B is not the name of a ServiceAccount: at most 253 lower-case letters, digits, `-` and `.`",
        "inject.D/store: store=_ is not the name of a store: at most 63 lower-case letters, digits and `-`"
    ];
    refresh_without_a_rest: [("inject.D/refresh", "10ms")]
        => ["inject.D/refresh: refresh=10ms is shorter than 1s"];
    every_problem_at_once: [
        ("secret.D/a", "kind=BLAH"), ("secret.D/b", "kind=DYNAMIC,type=RSA"), ("lease.D/c", "kind=INDEX,rangeStart=1,rangeEnd=0")
    ] => [
        "lease.D/c: rangeStart=1 is greater than rangeEnd=0",
        "secret.D/a: kind=BLAH is not one of DYNAMIC, REFERENCE, KUBERNETES",
        "secret.D/b: size is missing: 2048, 3072 or 4096",
        "secret.D/b: this type is generated as a pair: the annotation's name must end in _public or _private"
    ];
}

#[test]
fn more_than_kubernetes_allows_is_refused_before_any_work() {
    let value = "kind=REFERENCE,".repeat(20_000);
    let problems = refuse(&[("secret.D/x", &value)]);
    assert!(problems.len() == 1 && problems[0].contains("Kubernetes allows 262144"), "{problems:?}");
}

#[test]
fn the_kees_example_is_understood() {
    let (requests, warnings) = accept(&[
        ("iam.amazonaws.com/role", "cluster-app-role"),
        ("secret.D/signingKey.v1_public", "kind=DYNAMIC,type=RSA,size=2048,foo=bar"),
        ("secret.D/signingKey.v1_private", "kind=DYNAMIC,type=RSA,size=2048,foo=bar"),
        ("secret.D/db.password", "kind=REFERENCE,type=PASSWORD"),
    ]);
    let names: Vec<_> = requests.secrets.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, ["db.password", "signingKey.v1_private", "signingKey.v1_public"]);
    let (_, stored) = requests.stored().last().unwrap();
    assert_eq!(
        stored.origin,
        Origin::Dynamic(Generated::Rsa { size: Modulus::Bits2048, half: KeyHalf::Public })
    );
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("foo is not a known parameter"), "{warnings:?}");
}

#[test]
fn paths_are_those_of_kees() {
    let (requests, warnings) = accept(&[
        ("init.D/storage-prefix", "/veza/production/"),
        ("secret.D/api-key.c.v1_consumer", "kind=DYNAMIC,type=RANDOM,size=128"),
        ("secret.D/db_password", "kind=REFERENCE,type=PASSWORD,storageKey=db/main"),
        ("resource.D/app.url_main", ""),
        ("lease.D/snowflake_id", "kind=INDEX,storageKeyPrefix=flake,rangeStart=-1,rangeEnd=1000"),
        ("lease.D/other_id", "kind=INDEX,rangeStart=0,rangeEnd=0"),
    ]);
    let paths: Vec<_> =
        requests.stored().map(|(request, stored)| requests.secret_path(&request.name, stored)).collect();
    assert_eq!(paths[0].as_str(), "/veza/production/api-key.c.v1_consumer");
    assert_eq!(paths[1].as_str(), "/veza/production/db/main");
    assert_eq!(requests.resource_path(&requests.resources[0]).as_str(), "/veza/production/app.url");
    assert_eq!(requests.lease_path(&requests.leases[0], 0).as_str(), "/veza/production/leases/other.0");
    assert_eq!(requests.lease_path(&requests.leases[1], -1).as_str(), "/veza/production/leases/flake.-1");
    assert_eq!(warnings.len(), 1, "the resource's field is dropped: {warnings:?}");
    let Origin::Dynamic(generated) = &requests.secrets[0].stored().unwrap().origin else { panic!() };
    assert_eq!(*generated, Generated::ApiKey { size: 128, party: ApiKeyParty::Consumer });
}

#[test]
fn steering_annotations_are_understood() {
    let (requests, warnings) = accept(&[
        ("init.D/local-mode", " remote-then-local "),
        ("inject.D/containers", "b, a"),
        ("inject.D/encoding", "base64"),
        ("inject.D/format", "json, dotenv"),
        ("inject.D/init-position", "last"),
        ("inject.D/path", "/run/secrets/"),
        ("inject.D/refresh", "5m"),
        ("inject.D/status", "not an instruction"),
        ("inject.D/template.url", "x"),
        ("inject.D/template-env.url", " DATABASE_URL "),
    ]);
    assert_eq!(requests.storage.local_mode, LocalMode::RemoteThenLocal);
    let injection = requests.injection;
    assert_eq!(
        injection.containers.unwrap().iter().map(ContainerName::as_str).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(injection.encoding, Some(Encoding::Base64));
    assert!(
        injection.formats.as_ref().unwrap().has(Format::Json)
            && !injection.formats.unwrap().has(Format::Files)
    );
    assert_eq!(injection.init_position, InitPosition::Last);
    assert_eq!(injection.path.unwrap().as_str(), "/run/secrets");
    assert_eq!(injection.refresh.unwrap().as_secs(), 300);
    assert_eq!(injection.templates.len(), 1);
    let [TemplateEnv { template, env }] = &injection.template_envs[..] else { panic!() };
    assert_eq!((template.as_str(), env.as_str()), ("url", "DATABASE_URL"));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn misspelt_annotations_are_told_their_neighbour() {
    let (_, warnings) =
        accept(&[("inject.D/servce-account", "x"), ("init.D/storageprefix", "/x"), ("inject.D/colour", "x")]);
    assert!(warnings[0].contains("did you mean storage-prefix?"), "{warnings:?}");
    assert!(!warnings[1].contains("did you mean"), "{warnings:?}");
    assert!(warnings[2].contains("did you mean service-account?"), "{warnings:?}");
}

#[test]
fn opting_out_silences_everything() {
    assert_eq!(parse(&[("inject.D/enabled", "false"), ("secret.D/x", "kind=BLAH")]), Ok(Parsed::OptedOut));
}

#[test]
fn accepted_beside_the_refusals() {
    for value in [
        "kind=DYNAMIC,type=PASSWORD,size=1",
        "kind=DYNAMIC,type=PASSWORD,size=8192",
        "kind = DYNAMIC , type = PASSWORD , size = 128 ,",
        "kind=REFERENCE,type=RSA",
        "kind=REFERENCE,type=RANDOM,size=0",
        "kind=REFERENCE,type=GPG,mode=0440,env=A,containers=a|b",
        "kind=KUBERNETES,secret=s,envFrom=true,prefix=P_",
        "kind=KUBERNETES,secret=s,path=/p/,key=k,mode=0o444,optional=true",
    ] {
        let (requests, _) = accept(&[("secret.D/x", value)]);
        assert_eq!(requests.secrets.len(), 1, "{value}");
    }
    // Two names of one value may be one item of the store.
    accept(&[
        ("secret.D/a", "kind=DYNAMIC,type=RANDOM,size=128,storageKey=k"),
        ("secret.D/b", "kind=DYNAMIC,type=RANDOM,size=128,storageKey=k"),
    ]);
    accept(&[
        ("secret.D/a", "kind=KUBERNETES,secret=s,key=a,env=A,containers=x"),
        ("secret.D/b", "kind=KUBERNETES,secret=s,key=b,env=A,containers=y"),
    ]);
}

#[test]
fn whole_secrets_have_defaults() {
    let (requests, _) = accept(&[("secret.D/jwt", "kind=KUBERNETES,secret=jwt-secret,path=/etc/jwt")]);
    let Delivery::Kubernetes(secret) = &requests.secrets[0].delivery else { panic!() };
    let KubernetesTarget::Path { path, key, mode } = &secret.target else { panic!() };
    assert_eq!((path.as_str(), key, mode.bits(), secret.optional), ("/etc/jwt", &None, 0o400, false));
}

#[test]
fn a_wrong_local_value_is_told_without_its_text() {
    let (requests, warnings) =
        accept(&[("secret.D/x", "kind=REFERENCE,type=RANDOM,localModeValue=hunter2!")]);
    assert_eq!(requests.secrets[0].stored().unwrap().local_value, None);
    assert_eq!(requests.secrets[0].stored().unwrap().origin.kind(), SecretType::Random);
    assert!(warnings.len() == 1 && !warnings[0].contains("hunter2"), "{warnings:?}");
}

#[test]
fn openpgp_keys_that_local_mode_derives_are_told_apart() {
    let gpg = "kind=DYNAMIC,type=GPG,size=2048,userId=a<b@c>";
    let (requests, _) = accept(&[
        ("secret.D/given_public", &format!("{gpg},localModeValue=dmFsdWU=")),
        ("secret.D/mail_public", gpg),
        ("secret.D/mail", "kind=REFERENCE,type=GPG"),
        ("secret.D/news_private", "kind=REFERENCE,type=GPG"),
        ("secret.D/rsa_private", "kind=DYNAMIC,type=RSA,size=2048"),
    ]);
    let names: Vec<&str> = requests.derived_gpg().map(RequestName::as_str).collect();
    assert_eq!(names, ["mail_public", "news_private"]);
    let underivable: Vec<&str> = requests.underivable().iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(underivable, ["mail"]);
}
