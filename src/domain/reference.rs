//! The reference of annotations: one table a family, from which the parser takes the names that it knows, and the page
//! `docs/annotation-reference.md` all it says.
//!
//! So a name that is missing here is warned of as unknown, and one that is too many here is told by a test.

use std::fmt::Write as _;

use super::annotation::{AnnotationDomain, Family, init, inject};

/// A parameter of a value, or a key of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What it is where it is left out; empty where nothing stands in for it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn entry(
    name: &'static str,
    takes: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry { name, takes, default, meaning }
}

const REQUIRED: &str = "required";
const CONTAINERS: Entry = entry(
    "containers",
    "names of containers, separated by `|`",
    "all that the pod chose",
    "Narrows the secret to these containers.",
);
const LOCAL_VALUE: Entry = entry(
    "localModeValue",
    "base64",
    "derived from the name, where it can be",
    "The value in local mode. It is no secret: it stands in the manifest.",
);
const STORAGE_KEY: Entry = entry(
    "storageKey",
    "1 to 512 characters, no `.` or `..` segment, not below `leases/`",
    "`NAME`",
    "The key in the store, below the prefix.",
);
const ENV: Entry = entry(
    "env",
    "a variable's name",
    "",
    "A variable that also gets the value (`fileKeyRef`, Kubernetes 1.35 or later).",
);
const MODE: Entry =
    entry("mode", "octal, such as 0400", "0400", "The mode of the secret's own file (`format: files`).");

/// `secret.D/NAME` with `kind=DYNAMIC` or `kind=REFERENCE`.
pub const STORED: [Entry; 9] = [
    entry(
        "kind",
        "`DYNAMIC`, `REFERENCE`",
        REQUIRED,
        "Whether the creator generates it, once, or somebody else puts it into the store.",
    ),
    entry("type", "`RSA`, `GPG`, `RANDOM`, `PASSWORD`, `EC`, `ED25519`", REQUIRED, "What it is."),
    entry(
        "size",
        "bits: 2048, 3072, 4096 (RSA, GPG); 256, 384 (EC); 1 to 8192 (RANDOM, PASSWORD); none for ED25519",
        "required for DYNAMIC",
        "How large it is. RANDOM has `size / 8` bytes, PASSWORD `size / 8` characters.",
    ),
    entry("userId", "`user<email>`", "required for a DYNAMIC GPG key", "Whose OpenPGP key it is."),
    STORAGE_KEY,
    LOCAL_VALUE,
    ENV,
    MODE,
    CONTAINERS,
];

/// `secret.D/NAME` with `kind=KUBERNETES`.
pub const KUBERNETES: [Entry; 10] = [
    entry("kind", "`KUBERNETES`", REQUIRED, "A Secret of the pod's namespace, which the kubelet delivers."),
    entry("secret", "a Secret's name", REQUIRED, "The Secret."),
    entry(
        "key",
        "a key of it",
        "required with `env`",
        "The only key that is meant; with `path`, the only file.",
    ),
    entry(
        "env",
        "a variable's name",
        "",
        "The variable that gets the key. One of `env`, `envFrom` and `path` is needed.",
    ),
    entry("envFrom", "`true`, `false`", "`false`", "All keys as variables."),
    entry(
        "prefix",
        "the beginning of a variable's name",
        "",
        "What stands before each variable of `envFrom`.",
    ),
    entry("path", "an absolute directory", "", "The directory in which the keys are files."),
    entry("mode", "octal, such as 0400", "0400", "The mode of these files."),
    entry("optional", "`true`, `false`", "`false`", "Whether the pod starts without the Secret."),
    CONTAINERS,
];

/// `resource.D/NAME`
pub const RESOURCE: [Entry; 2] = [
    entry(
        "storageKey",
        "1 to 512 characters, no `.` or `..` segment, not below `leases/`",
        "`NAME` without its field",
        "The key in the store, below the prefix.",
    ),
    entry("localModeValue", "base64", "required in local mode", "The value in local mode."),
];

/// `lease.D/NAME`
pub const LEASE: [Entry; 4] = [
    entry("kind", "`INDEX`", REQUIRED, "A whole number that no other live pod of the series holds."),
    entry(
        "storageKeyPrefix",
        "1 to 512 characters",
        "`NAME` without its field",
        "The series in which indices are counted, below `leases/`.",
    ),
    entry("rangeStart", "a whole number", REQUIRED, "The first index."),
    entry("rangeEnd", "a whole number", REQUIRED, "The last index; a range has at most 100,000."),
];

/// `init.D/…`
pub const INIT: [Entry; 2] = [
    entry(
        init::LOCAL_MODE,
        "`true`, `false`, `remote-then-local`",
        "`false`",
        "Predictable values for development, in namespaces that the operator lists; with `remote-then-local` for what the store definitely does not have.",
    ),
    entry(
        init::STORAGE_PREFIX,
        "a path without `.` and `..` segments",
        "none",
        "What stands before every key: `/veza/production`. The operator may limit who names which.",
    ),
];

/// `inject.D/…`
pub const INJECT: [Entry; 12] = [
    entry(
        inject::CONTAINERS,
        "names of containers and init containers, separated by commas",
        "all at the first call",
        "Who receives secrets.",
    ),
    entry(
        inject::ENABLED,
        "`true`, `false`",
        "`true`",
        "`false` leaves this pod alone, whatever else it says.",
    ),
    entry(
        inject::ENCODING,
        "`plain`, `base64`",
        "`plain`",
        "How values are written; `base64` as kees has it.",
    ),
    entry(
        inject::FORMAT,
        "`properties`, `dotenv`, `json`, `files`, separated by commas",
        "`properties`",
        "What is written besides resources and leases.",
    ),
    entry(
        inject::INIT_POSITION,
        "`first`, `last`",
        "`first`",
        "Where our init container stands among the pod's.",
    ),
    entry(inject::PATH, "an absolute directory", "`/secret`", "The directory of the files."),
    entry(
        inject::REFRESH,
        "a duration of at least `1s`, such as `5m`",
        "never",
        "A sidecar renews the files this often.",
    ),
    entry(
        inject::SERVICE_ACCOUNT,
        "a service account's name",
        "the pod's own",
        "The account to run as; one that the pod names itself stays.",
    ),
    entry(
        inject::STATUS,
        "JSON",
        "",
        "What was injected. The webhook writes it, and nobody is told anything by it.",
    ),
    entry(
        inject::STORE,
        "a store's name",
        "the operator's default",
        "The store of the operator's configuration to read from.",
    ),
    entry("template.NAME", "a template", "", "Rendered into the file `NAME`."),
    entry(
        "template-env.NAME",
        "a variable's name",
        "",
        "A variable that also gets what the template `NAME` gives (`fileKeyRef`, Kubernetes 1.35 or later).",
    ),
];

/// The names of a table.
pub(super) const fn names<const N: usize>(table: &[Entry; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = table[at].name;
        at += 1;
    }
    names
}

/// A family of annotations, and what its page has of it.
struct Section {
    family: Family,
    /// What follows the family's key in the heading.
    about: &'static str,
    words: &'static str,
    table: &'static [Entry],
    /// Complete annotations: what follows the `/`, and the value.
    examples: &'static [(&'static str, &'static str)],
}

const SECTIONS: [Section; 6] = [
    Section {
        family: Family::Secret,
        about: "from a store: `kind=DYNAMIC`, `kind=REFERENCE`",
        words: "A DYNAMIC key names one part of its pair: `NAME_public` or `NAME_private` for RSA, EC and ED25519, also `NAME_password` for GPG; a DYNAMIC RANDOM whose name begins with `api-key` ends in `_consumer` or `_provider`.",
        table: &STORED,
        examples: &[
            ("signing_private", "kind=DYNAMIC,type=RSA,size=2048"),
            ("mail_public", "kind=DYNAMIC,type=GPG,size=3072,userId=shop<shop@example.org>"),
            ("api-key.pay_consumer", "kind=DYNAMIC,type=RANDOM,size=256"),
            ("db_password", "kind=REFERENCE,type=PASSWORD,storageKey=shared/db_password,env=DB_PASSWORD"),
        ],
    },
    Section {
        family: Family::Secret,
        about: "from the cluster: `kind=KUBERNETES`",
        words: "No init container is added for these.",
        table: &KUBERNETES,
        examples: &[
            ("jwt", "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT_SECRET_KEY"),
            ("all", "kind=KUBERNETES,secret=veza-secrets,envFrom=true,prefix=VEZA_,optional=true"),
            ("certificate", "kind=KUBERNETES,secret=tls,path=/etc/tls,mode=0440,containers=app|sidecar"),
        ],
    },
    Section {
        family: Family::Resource,
        about: "a value of the store that nobody generates",
        words: "Its field is no part of its storage key.",
        table: &RESOURCE,
        examples: &[("db.host", ""), ("db.url", "storageKey=shared/db.url,localModeValue=bG9jYWxob3N0")],
    },
    Section {
        family: Family::Lease,
        about: "an index",
        words: "Two leases of one series share one index.",
        table: &LEASE,
        examples: &[("shard", "kind=INDEX,rangeStart=0,rangeEnd=1023,storageKeyPrefix=snowflake")],
    },
    Section {
        family: Family::Init,
        about: "where the store is read",
        words: "",
        table: &INIT,
        examples: &[("storage-prefix", "/veza/production")],
    },
    Section {
        family: Family::Inject,
        about: "how to inject",
        words: "",
        table: &INJECT,
        examples: &[
            ("containers", "app, migrate"),
            ("format", "dotenv,files"),
            ("refresh", "5m"),
            ("service-account", "shop"),
            (
                "template.url",
                "postgres://app:{{ secret['db_password'] | urlencode }}@{{ resource['db.host'] }}/app",
            ),
            ("template-env.url", "DATABASE_URL"),
        ],
    },
];

/// The page, in Markdown.
pub fn markdown(domain: &AnnotationDomain) -> String {
    let mut out = format!(
        "# Reference of annotations\n\nMade of the tables that the parser reads by; [annotations.md](annotations.md) explains \
         how they go together. Those of Secrets whose keys turn over, and of what reads Secrets, `rotate.{domain}/…`, are in \
         [rotation.md](rotation.md). The domain `{domain}` is the operator's setting `annotationDomain`.\n\nA value is \
         `key=value,key=value…`; of a key that stands twice the last one counts. What is not in these tables is ignored, with a \
         warning that names the nearest. `NAME` has at most 63 letters, digits, `-`, `_` and `.`; lower-case letters after its \
         last `_` are its field.\n"
    );
    for Section { family, about, words, table, examples } in SECTIONS {
        let is_control = matches!(family, Family::Init | Family::Inject);
        let what = if is_control { "…" } else { "NAME" };
        let _ = write!(out, "\n## `{}`: {about}\n\n", domain.key(family, what));
        if !words.is_empty() {
            let _ = write!(out, "{words}\n\n");
        }
        let head = if is_control { "key" } else { "parameter" };
        let _ = write!(out, "| {head} | takes | default | meaning |\n|---|---|---|---|\n");
        for Entry { name, takes, default, meaning } in table {
            let takes = takes.replace('|', "\\|");
            let _ = writeln!(out, "| `{name}` | {takes} | {default} | {meaning} |");
        }
        let _ = write!(out, "\n```yaml\n");
        for (name, value) in examples {
            let value = value.replace('"', "\\\"");
            let _ = writeln!(out, "{}: \"{value}\"", domain.key(family, name));
        }
        out.push_str("```\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::request::{Grammar, Parsed};
    use super::*;

    fn parse(annotations: &[(String, String)]) -> Result<Vec<String>, Vec<String>> {
        let domain = AnnotationDomain::default();
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        let annotations = annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        match grammar.parse(annotations) {
            Ok(Parsed::OptedOut) => Ok(Vec::new()),
            Ok(Parsed::Requests(_, warnings)) => Ok(warnings.iter().map(ToString::to_string).collect()),
            Err(rejection) => Err(rejection.problems.iter().map(ToString::to_string).collect()),
        }
    }

    fn key(family: Family, name: &str) -> String {
        AnnotationDomain::default().key(family, name)
    }

    #[test]
    fn all_examples_together_are_a_pod_without_a_warning() {
        let annotations: Vec<(String, String)> = SECTIONS
            .iter()
            .flat_map(|section| {
                section.examples.iter().map(|(name, value)| (key(section.family, name), (*value).to_owned()))
            })
            .collect();
        assert_eq!(parse(&annotations), Ok(Vec::new()));
    }

    #[test]
    fn every_name_of_the_tables_is_known_and_no_other_is() {
        for Section { family, table, .. } in SECTIONS {
            for name in table.iter().map(|entry| entry.name).chain(["unheardOf"]) {
                // Whatever else is wrong with it, a known name is never told to be unknown.
                let (kind, annotation, value) = match (family, table[0].takes) {
                    (Family::Secret, "`KUBERNETES`") => {
                        ("kind=KUBERNETES,", "x", format!("kind=KUBERNETES,{name}=1"))
                    }
                    (Family::Secret, _) => ("kind=DYNAMIC,", "x", format!("kind=DYNAMIC,type=GPG,{name}=1")),
                    (Family::Resource | Family::Lease, _) => ("", "x", format!("{name}=1")),
                    _ => ("", name, "1".to_owned()),
                };
                let told = match parse(&[(key(family, annotation), value)]) {
                    Ok(told) => told.join("; "),
                    Err(problems) => problems.join("; "),
                };
                let is_unknown = told.contains("not a known");
                let is_wrong = told.contains(kind) || !told.is_empty();
                assert!(
                    if name == "unheardOf" { is_wrong } else { !is_unknown },
                    "{} {name}: {told}",
                    family.word()
                );
            }
        }
    }

    #[test]
    fn a_bar_in_a_table_is_escaped() {
        let page = markdown(&AnnotationDomain::default());
        assert!(page.contains("separated by `\\|`"));
    }
}
