//! Kees' variables (`InitMain.java`), so that kees' own manifests run with only the image changed.
//!
//! | variable | default |
//! |---|---|
//! | `ENV_LABEL` | required: the table is `<ENV_LABEL>-kube-secret` |
//! | `ANNOTATION_DOMAIN` | `bsycorp.com` |
//! | `ANNOTATIONS_FILE` | `/podinfo/annotations` |
//! | `SECRETS_FILE`, `RESOURCES_FILE`, `LEASES_FILE` | `/bsycorp-init/{secrets,resources,leases}.properties` |
//! | `RESOURCES_FILE_PATH`, `LEASES_FILE_PATH` | `/bsycorp-init` |
//! | `RETRY_DELAY` | none; whole seconds |
//! | `AWS_REGION` | `ap-southeast-2` where there is no `AWS_ENDPOINT` |
//! | `AWS_ENDPOINT` | none |
//! | `AWS_STS_ENDPOINT`, with `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN` | none; the SDK's own chain |
//! | `HTTPS_PROXY`, `HTTP_PROXY` | none; the SDK reads them, and `NO_PROXY` too |
//!
//! Different from kees: what is not there yet is waited for, up to the deadline and then `RETRY_DELAY` longer, where
//! kees looked once or twice. Files are readable by all (0444), as kees' were in effect, because nobody told the
//! kees manifest's author which user init must share with the application.

use std::path::Path;
use std::time::Duration;

use super::{DEADLINE, Mistake, Output, Reader, Settings, absolute, termination_log};
use crate::domain::{FileMode, Layout};
use crate::handover::{DynamoDbSettings, StoreSettings};
use crate::store::Surroundings;

/// The variable that says that kees' manifest started us.
pub const ENV_LABEL: &str = "ENV_LABEL";

const LAYOUT: Layout = Layout::Kees;

pub(super) fn read(label: &str, reader: &mut Reader<'_>) -> Settings {
    let endpoint = reader.read("AWS_ENDPOINT", |text| {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        if is_url {
            Ok(text.to_owned())
        } else {
            Err("is not an address such as https://host:8000".to_owned())
        }
    });
    let region = reader.text("AWS_REGION").map(str::to_owned);
    let region = region.or_else(|| endpoint.is_none().then(|| "ap-southeast-2".to_owned()));
    let table = format!("{label}-kube-secret");
    let annotations = Path::new(LAYOUT.annotations_directory()).join(Layout::ANNOTATIONS_FILE);
    let longer = reader.read("RETRY_DELAY", |text| {
        text.parse().map(Duration::from_secs).map_err(|_| "is not a whole number of seconds".to_owned())
    });
    let default = DEADLINE.saturating_add(longer.unwrap_or_default());
    Settings {
        store: StoreSettings::DynamoDb(DynamoDbSettings {
            table,
            region,
            audience: None,
            role_arn: None,
            endpoint,
        }),
        domain: reader.domain("ANNOTATION_DOMAIN"),
        layout: LAYOUT,
        annotations_file: reader.path("ANNOTATIONS_FILE", annotations),
        outputs: vec![output(reader)],
        file_mode: reader.file_mode(FileMode::ALL),
        deadline: reader.deadline(default),
        surroundings: surroundings(reader),
        pod_uid: None,
        termination_log: termination_log(reader.environment),
    }
}

/// Without an STS of its own the SDK reads token file and role by itself.
fn surroundings(reader: &mut Reader<'_>) -> Surroundings {
    let surroundings = reader.surroundings();
    let sts = reader.read("AWS_STS_ENDPOINT", |text| {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        if is_url {
            Ok(text.to_owned())
        } else {
            Err("is no address such as https://sts.example.com".to_owned())
        }
    });
    let token_file = reader.read("AWS_WEB_IDENTITY_TOKEN_FILE", absolute);
    match (sts, token_file) {
        (Some(sts), Some(token_file)) => {
            Surroundings { token_file: Some(token_file), aws_sts_endpoint: Some(sts), ..surroundings }
        }
        _ => surroundings,
    }
}

fn output(reader: &mut Reader<'_>) -> Output {
    let usual = Output::of(LAYOUT, Path::new(LAYOUT.directory()), None);
    let mut seen = Vec::new();
    let mut file = |reader: &mut Reader<'_>, variable: &'static str, default| {
        let path = reader.path(variable, default);
        if path.file_name().and_then(|name| name.to_str()).is_none() {
            let rule = "does not name a file".to_owned();
            reader.mistakes.push(Mistake::Invalid { variable, found: path.display().to_string(), rule });
        } else if seen.contains(&path) {
            let rule = "is the file of another variable too".to_owned();
            reader.mistakes.push(Mistake::Invalid { variable, found: path.display().to_string(), rule });
        }
        seen.push(path.clone());
        path
    };
    let secrets_file = file(reader, "SECRETS_FILE", usual.secrets_file);
    let resources_file = file(reader, "RESOURCES_FILE", usual.resources_file);
    let leases_file = file(reader, "LEASES_FILE", usual.leases_file);
    Output {
        directory: secrets_file.parent().unwrap_or(&usual.directory).to_owned(),
        secrets_file,
        resources_file,
        leases_file,
        resources_directory: reader.path("RESOURCES_FILE_PATH", usual.resources_directory),
        leases_directory: reader.path("LEASES_FILE_PATH", usual.leases_directory),
        only: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn the_label_is_enough() {
        let settings = read(&[("ENV_LABEL", "prod")]).unwrap();
        let StoreSettings::DynamoDb(store) = &settings.store else { panic!("{settings:?}") };
        assert_eq!(
            (store.table.as_str(), store.region.as_deref()),
            ("prod-kube-secret", Some("ap-southeast-2"))
        );
        assert_eq!(settings.annotations_file, Path::new("/podinfo/annotations"));
        assert_eq!(settings.outputs[0].secrets_file, Path::new("/bsycorp-init/secrets.properties"));
        assert_eq!((settings.file_mode, settings.deadline), (FileMode::ALL, DEADLINE));
    }

    #[test]
    fn every_variable_is_read() {
        let settings = read(&[
            ("ENV_LABEL", "prod"),
            ("ANNOTATION_DOMAIN", "example.org"),
            ("ANNOTATIONS_FILE", "/in/a"),
            ("SECRETS_FILE", "/out/s"),
            ("RESOURCES_FILE", "/out/r"),
            ("LEASES_FILE", "/other/l"),
            ("RESOURCES_FILE_PATH", "/rs"),
            ("LEASES_FILE_PATH", "/ls"),
            ("RETRY_DELAY", "30"),
            ("AWS_ENDPOINT", "http://127.0.0.1:1"),
        ])
        .unwrap();
        let StoreSettings::DynamoDb(store) = &settings.store else { panic!("{settings:?}") };
        assert_eq!((store.region.as_deref(), store.endpoint.as_deref()), (None, Some("http://127.0.0.1:1")));
        assert_eq!(settings.deadline, Duration::from_secs(90));
        let output = &settings.outputs[0];
        assert_eq!(
            (output.directory.as_path(), output.leases_file.as_path()),
            (Path::new("/out"), Path::new("/other/l"))
        );
        assert_eq!(output.leases_directory, Path::new("/ls"));
        assert!(settings.taken_files().contains(&"l"));
    }

    #[test]
    fn an_sts_of_its_own_is_asked_with_the_pods_token() {
        let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token");
        let sts = ("AWS_STS_ENDPOINT", "https://sts.example.com");
        let role = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web");
        let read = |more: &[(&'static str, &'static str)]| {
            let all: Vec<_> = [("ENV_LABEL", "prod")].iter().chain(more).copied().collect();
            read(&all).unwrap().surroundings
        };
        let own = read(&[token, sts, role]);
        assert_eq!(own.token_file.as_deref(), Some(Path::new("/token")));
        assert_eq!(own.aws_sts_endpoint.as_deref(), Some("https://sts.example.com"));
        assert_eq!(own.variables.get("AWS_ROLE_ARN").map(String::as_str), Some(role.1));
        for alone in [token, sts] {
            let chain = read(&[alone]);
            assert_eq!((chain.token_file, chain.aws_sts_endpoint), (None, None));
        }
    }

    #[test]
    fn mistakes_are_told_together() {
        let error = read(&[
            ("ENV_LABEL", "prod"),
            ("SECRETS_FILE", "/out/s"),
            ("RESOURCES_FILE", "/out/s"),
            ("LEASES_FILE", "/"),
            ("RETRY_DELAY", "soon"),
            ("AWS_STS_ENDPOINT", "sts.example.com"),
        ])
        .unwrap_err();
        assert_eq!(error.mistakes.len(), 4, "{error}");
    }
}
