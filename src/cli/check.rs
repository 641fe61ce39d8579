//! `keystow check`

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

use super::files::{self, SourceFile};
use super::{EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, Failure, start, write_result};
use crate::check::{self, Answers, Code, Finding, Known, Options, Severity, World, render};
use crate::config::{self, Configuration};
use crate::domain::parse_duration;
use crate::survey::{SurveyError, Surveyor};
use crate::telemetry::chain;

/// Look for what would go wrong: in manifests before they are applied, or in a live namespace.
///
/// With -f it reads files, and says what the webhook would refuse, what is asked for in vain, and what is weak. Without, it
/// looks at a live namespace with your own rights and changes nothing: it lists objects, Secrets too, of whose values it
/// shows none. A namespace in which all is right has no finding.
///
/// Exit code: 0 where nothing is as bad as --fail-on, 65 where something is, 64 for wrong usage, 66 for a file that cannot
/// be read, 69 for an API server that does not answer, 77 where nothing may be looked at.
///
/// Examples:
///   keystow check -f deploy/
///   keystow check -n shop
///   kubectl keystow check
///   keystow check -n shop --production --context prod
///   keystow check -f deploy/ --format sarif -o keystow.sarif
///   keystow check --explain KS402
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// A manifest, a directory of them (*.yaml, *.yml, *.json, with all below it), or `-` for standard input. Can be
    /// given several times.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The live namespace, that of the kubeconfig's context without it; with -f that of objects which name none.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    context: Option<String>,
    /// The operator's configuration file; without it, the one that keystow runs with in the cluster, or the defaults.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// The form of the result.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// The least severity that makes it fail.
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    fail_on: FailOn,
    /// Add the checklist for production: encryption at rest, backups, replicas, rotation of every secret.
    #[arg(long)]
    production: bool,
    /// How old a secret may become that does not say so itself.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = parse_duration)]
    max_age: Duration,
    /// Say more about a code, and do nothing else.
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Write into this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(code) = &arguments.explain {
        return explain(code);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let options = Options { max_age: arguments.max_age, production: arguments.production };
    let configuration = match &arguments.config {
        Some(file) => Some(config::load(Some(file)).map_err(|error| Failure::new(EX_USAGE, error))?),
        None => None,
    };
    let (findings, looked_at) = if arguments.files.is_empty() {
        live(arguments, configuration, now, &options)?
    } else {
        let namespace = arguments.namespace.as_deref().unwrap_or("default");
        let settings = or_default(configuration)?.offline();
        let mut world = World { namespace: namespace.to_owned(), now, ..World::default() };
        for SourceFile { name, text } in files::read_all(&arguments.files)? {
            check::read_file(&mut world, &name, &text);
        }
        (check::judge(&world, &Answers::default(), &settings, &options), count(&world))
    };
    let text = match arguments.format {
        Format::Text => render::text(&findings, looked_at),
        Format::Json => render::json(&findings),
        Format::Sarif => render::sarif(&findings),
    };
    match &arguments.output {
        Some(file) => files::write(file, &anstream::adapter::strip_str(&text).to_string(), false)?,
        None => write_result(&text)?,
    }
    verdict(&findings, arguments.fail_on)
}

fn live(
    arguments: &Arguments,
    configuration: Option<Configuration>,
    now: i64,
    options: &Options,
) -> Result<(Vec<Finding>, usize), Failure> {
    start::threads(2)?.block_on(async {
        let surveyor = Surveyor::new(arguments.context.as_deref(), arguments.namespace.as_deref()).await;
        let surveyor = surveyor.map_err(|error| failure(&error))?;
        let progress = tokio::spawn(progress(surveyor.namespace().to_owned()));
        let looked = async {
            let mut world = surveyor.look(now).await?;
            let mut theirs = None;
            if configuration.is_none() {
                match surveyor.configuration(&world).await? {
                    Known::Yes(text) => theirs = Some(text),
                    Known::No(why) => world.configuration = Known::No(why),
                    Known::Unasked => {}
                }
            }
            Ok::<_, SurveyError>((world, theirs))
        };
        let looked = looked.await;
        progress.abort();
        let (world, theirs) = looked.map_err(|error| failure(&error))?;
        let configuration = match (configuration, theirs) {
            (Some(configuration), _) => configuration,
            (None, Some(text)) => config::read(&text).map_err(|mistakes| {
                let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                Failure::new(
                    EX_DATAERR,
                    format!("the configuration in the cluster is wrong: {}", told.join("; ")),
                )
            })?,
            (None, None) => or_default(None)?,
        };
        let settings = configuration.offline();
        let questions = check::questions(&world, &settings);
        let answers = surveyor.ask(questions).await.map_err(|error| failure(&error))?;
        Ok((check::judge(&world, &answers, &settings, options), count(&world)))
    })
}

/// Says on a terminal what takes so long.
async fn progress(namespace: String) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    if std::io::stderr().is_terminal() {
        let _ = writeln!(anstream::stderr(), "looking at namespace {namespace}…");
    }
}

fn or_default(configuration: Option<Configuration>) -> Result<Configuration, Failure> {
    match configuration {
        Some(configuration) => Ok(configuration),
        None => config::load(None).map_err(|error| Failure::new(EX_USAGE, error)),
    }
}

fn failure(error: &SurveyError) -> Failure {
    let code = match error {
        SurveyError::Kubeconfig(_) | SurveyError::Nowhere(_) | SurveyError::Client(_) => EX_USAGE,
        SurveyError::NoNamespace(_) => EX_DATAERR,
        SurveyError::Away(_) => EX_UNAVAILABLE,
        SurveyError::Denied { .. } => EX_NOPERM,
    };
    Failure::new(code, chain(error))
}

/// How many objects were looked at.
fn count(world: &World) -> usize {
    let secrets = world.secrets.yes().map_or(0, Vec::len);
    let pods = world.pods.yes().map_or(0, Vec::len);
    let others = [&world.config_maps, &world.external_secrets, &world.secret_stores];
    let others: usize = others.iter().filter_map(|known| known.yes()).map(Vec::len).sum();
    world.workloads.len() + secrets + pods + others + world.service_accounts.yes().map_or(0, Vec::len)
}

fn verdict(findings: &[Finding], fail_on: FailOn) -> Result<(), Failure> {
    let least = match fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Note => Severity::Note,
        FailOn::Never => return Ok(()),
    };
    let bad = findings.iter().filter(|finding| finding.severity >= least).count();
    match bad {
        0 => Ok(()),
        1 => Err(Failure::new(EX_DATAERR, format!("1 finding is {least} or worse"))),
        _ => Err(Failure::new(EX_DATAERR, format!("{bad} findings are {least} or worse"))),
    }
}

fn explain(code: &str) -> Result<(), Failure> {
    let found = Code::ALL.iter().find(|known| known.id().eq_ignore_ascii_case(code));
    let Some(found) = found else {
        let message = format!(
            "there is no code {code}; they are {} to {}",
            Code::ALL[0].id(),
            Code::ALL[Code::ALL.len() - 1].id()
        );
        return Err(Failure::new(EX_USAGE, message));
    };
    write_result(&format!(
        "{} ({}): {}\n\n{}\n",
        found.id(),
        found.severity(),
        found.title(),
        found.explanation()
    ))
}
