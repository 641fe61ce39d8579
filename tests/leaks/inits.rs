//! `keystow init` as a process: what others can see of it while it runs, and what it says at every level of its log.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};

use super::canary::{assert_no_key, assert_none, canary, canary_base64, is_seen};
use super::pod::{BOUND, Pod, names};
use super::support::node::user_is_root;
use super::support::wait::until;

const LOCAL: &str = r#"{"local":{}}"#;
const USER: u32 = 65532;

/// Every place where a value may stand, and every form in which it is written.
fn annotations() -> Vec<(String, String)> {
    let value = |place: &str| format!("kind=REFERENCE,type=PASSWORD,localModeValue={}", canary_base64(place));
    [
        ("secret.bsycorp.com/a", value("secret")),
        ("secret.bsycorp.com/b", value("variable") + ",env=B"),
        ("secret.bsycorp.com/key_private", "kind=DYNAMIC,type=ED25519".to_owned()),
        ("resource.bsycorp.com/c", format!("localModeValue={}", canary_base64("resource"))),
        ("inject.bsycorp.com/format", "properties,dotenv,json,files".to_owned()),
        ("inject.bsycorp.com/template.t", "{{ secret.a }} {{ resource.c }}".to_owned()),
        ("example.com/token", canary("annotation")),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

fn pod(more: &[(&str, &str)]) -> Pod {
    let own = annotations();
    let own = own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let all: Vec<_> = own.filter(|(key, _)| !more.iter().any(|(other, _)| other == key)).collect();
    let mut pod = Pod::new(LOCAL, &[all, more.to_vec()].concat());
    pod.set("KEYSTOW_LOG", "trace");
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_no_value() {
    for format in ["json", "text"] {
        let mut pod = pod(&[]);
        pod.set("KEYSTOW_LOG_FORMAT", format);
        let ended = pod.run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(is_seen(pod.read("secret")) && is_seen(pod.read("t")), "the values are where they belong");
        assert!(ended.log.contains("init is done"), "{ended:?}");
        assert_none("the log", &ended.log);
        assert_no_key("the log", &ended.log);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_says_no_value() {
    let value = canary_base64("mistaken");
    let cut = format!("kind=REFERENCE,type=GPG,localModeValue={},{}", &value[..9], &value[9..]);
    let quoted = format!("kind=REFERENCE,type=PASSWORD,env=Q,localModeValue={}", base64_of("it's "));
    for (code, key, value) in [
        (64, "secret.bsycorp.com/x", format!("kind=REFERENCE,type=BLAH,localModeValue={value}")),
        (64, "secret.bsycorp.com/x", cut),
        (64, "resource.bsycorp.com/x", "storageKey=y".to_owned()),
        (65, "secret.bsycorp.com/x", quoted),
        (65, "inject.bsycorp.com/template.t", "{{ secret[secret.a] }}".to_owned()),
        (65, "inject.bsycorp.com/template.t", "{{ secret.a | fromjson }}".to_owned()),
        (64, "resource.bsycorp.com/secret", format!("localModeValue={value}")),
    ] {
        let pod = pod(&[(key, &value)]);
        let ended = pod.run().await;
        assert_eq!(ended.code, Some(code), "{key}: {value}: {ended:?}");
        assert!(!ended.last_words.is_empty());
        pod.assert_nothing_is_written();
        assert_none("the termination message", &ended.last_words);
        assert_none("the log", &ended.log);
    }
    // A volume that does not take the files.
    let pod = pod(&[]);
    fs::create_dir(pod.path("secret")).unwrap();
    fs::write(pod.path("secret/t"), "of somebody else").unwrap();
    let ended = pod.run().await;
    assert_eq!(ended.code, Some(73), "{ended:?}");
    assert_none("the termination message", &ended.last_words);
    assert_none("the log", &ended.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_reach_a_store_says_neither_its_token_nor_the_password_of_a_proxy() {
    let login = r#"{"role":"app","mount":"kubernetes","audience":"vault"}"#;
    let aws = r#""region":"eu-west-1","audience":"sts.amazonaws.com","roleArn":"arn:aws:iam::123456789012:role/app""#;
    let ids = r#""tenantId":"11111111-1111-1111-1111-111111111111","clientId":"22222222-2222-2222-2222-222222222222""#;
    for (kind, settings) in [
        ("dynamodb", format!(r#"{{"table":"t",{aws}}}"#)),
        ("secretsmanager", format!("{{{aws}}}")),
        ("ssm", format!("{{{aws}}}")),
        ("vault", format!(r#"{{"address":"https://vault.example","mount":"secret","auth":{{"kubernetes":{login}}}}}"#)),
        ("gcp", r#"{"project":"p","audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b"}"#.to_owned()),
        ("azure", format!(r#"{{"vaultUrl":"https://a.vault.azure.net","audience":"api://AzureADTokenExchange",{ids}}}"#)),
    ] {
        let mut pod = Pod::new(
            &format!(r#"{{"{kind}":{settings}}}"#),
            &[("secret.bsycorp.com/a", "kind=REFERENCE,type=PASSWORD")],
        );
        pod.set("KEYSTOW_LOG", "trace");
        pod.set("KEYSTOW_DEADLINE", "1s");
        pod.set("HTTPS_PROXY", format!("http://{}:{}@127.0.0.1:9", canary("user"), canary("password")));
        pod.give("KEYSTOW_TOKEN_FILE", "token", &canary("token"));
        let ended = pod.run().await;
        assert_eq!(ended.code, Some(69), "{kind}: {ended:?}");
        assert!(ended.last_words.contains("secret.bsycorp.com/a: "), "{kind}: {ended:?}");
        assert_none(kind, &ended.last_words);
        assert_none(kind, &ended.log);
    }
}

/// A canary behind this text, in base64.
fn base64_of(before: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{before}{}", canary("quoted")))
}

/// A sidecar that has written its files and waits.
async fn sidecar(pod: &Pod) -> super::pod::Running<'_> {
    let running = pod.start();
    let written = async || pod.tree().contains_key("secret").then_some(());
    until(BOUND, written).await.unwrap_or_else(|| panic!("no files: {}", running.log()));
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_of_processes_show_no_value() {
    let mut pod = pod(&[]);
    pod.argue("--refresh=1s");
    let running = sidecar(&pod).await;
    let process = format!("/proc/{}", running.pid());
    for file in ["cmdline", "environ", "comm", "status", "maps", "mountinfo", "limits"] {
        let shown = fs::read(Path::new(&process).join(file)).unwrap();
        assert!(!shown.is_empty(), "{file}");
        assert_none(file, shown);
    }
    for thread in names(&Path::new(&process).join("task")) {
        assert_none("a thread", fs::read(format!("{process}/task/{thread}/comm")).unwrap());
    }
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().filter(|word| *word == "0").count(), 2, "{cores}");
    let ended = running.terminate().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_none("the log", &ended.log);
}

/// Tells a process to dump its memory. Not by SIGQUIT, which what a shell runs in the background ignores.
fn abort(pid: u32) {
    let sent = Command::new("kill").args(["-ABRT", &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn dumped(status: ExitStatus, directory: &Path) -> bool {
    assert_eq!(status.signal(), Some(6), "{status}");
    status.core_dumped() || names(directory).iter().any(|name| name.starts_with("core"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_core_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited && exec sleep 600"]).current_dir(directory.path());
    let mut other = command.spawn().unwrap();
    let is_sleeping = async || {
        let name = fs::read_to_string(format!("/proc/{}/comm", other.id())).ok()?;
        (name.trim() == "sleep").then_some(())
    };
    until(BOUND, is_sleeping).await.expect("a process that sleeps");
    abort(other.id());
    let others_do = dumped(other.wait().unwrap(), directory.path());

    let mut pod = pod(&[]);
    pod.argue("--refresh=1s");
    pod.prepare("ulimit -c unlimited || true");
    let running = sidecar(&pod).await;
    abort(running.pid());
    let status = running.status().await;
    assert!(!dumped(status, &pod.path("")), "a core was dumped");
    assert!(others_do || !user_is_root(), "this machine dumps no cores at all, so nothing is proven");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_of_the_same_user_reads_its_memory() {
    if !user_is_root() {
        return;
    }
    let mut pod = pod(&[]);
    pod.argue("--refresh=1s");
    pod.run_as(USER, USER);
    let running = sidecar(&pod).await;
    let user = format!("--reuid={USER}");
    let as_user = ["--clear-groups", "--inh-caps=-all", "--bounding-set=-all", user.as_str(), "--"];
    let mut other = Command::new("setpriv").args(as_user).args(["sleep", "600"]).spawn().unwrap();
    let is_other = async || {
        let path = format!("/proc/{}", other.id());
        let name = fs::read_to_string(format!("{path}/comm")).ok()?;
        (name.trim() == "sleep" && fs::metadata(path).ok()?.uid() == USER).then_some(())
    };
    until(BOUND, is_other).await.expect("a process of the same user");
    let reads = |pid: u32, file: &str| {
        let path = format!("/proc/{pid}/{file}");
        Command::new("setpriv")
            .args(as_user)
            .args(["head", "-c", "1", &path])
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(reads(other.id(), "environ"), "one who may read of others");
    for file in ["environ", "auxv", "maps", "mem"] {
        assert!(!reads(running.pid(), file), "{file}");
    }
    let owner = fs::metadata(format!("/proc/{}/mem", running.pid())).unwrap().uid();
    assert_eq!(owner, 0, "what is undumpable belongs to root");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(running.terminate().await.code, Some(0));
}
