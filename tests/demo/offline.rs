//! The demo without a control plane: manifests are injected as the webhook would inject their pods, and the stand-in
//! for a node has the Secrets in memory.

use super::application::{Stage, show};
use super::examples::{Example, SECRET, workload};
use super::program::Keystow;
use super::support::node::MemorySource;
use super::{Failure, Outcome, application, screen};

pub(crate) async fn demo(keystow: &Keystow, examples: &[Example], stage: &Stage) -> Outcome<()> {
    let value = application::made_up_value()?;
    for example in examples {
        screen::title(&format!("{}: {}", example.name(), example.shows));
        screen::note(
            "what keystow adds and why, before and after, as `keystow inject --explain` shows it:\n",
        );
        keystow.explain(&example.file).await?;
        let injected = screen::step("inject the manifest", keystow.injected(&example.file)).await?;
        let (mut workload, _) =
            workload(&injected).map_err(|reason| Failure::new("reading what was injected", reason))?;
        // What an API server would have given it.
        let metadata = &mut workload.pod.metadata;
        let name = metadata.generate_name.take().map(|prefix| format!("{prefix}0"));
        metadata.name = metadata.name.take().or(name);
        metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
        let (secret, key) = SECRET;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let source = MemorySource::default().with_secret(&namespace, secret, &[(key, value.as_bytes())]);
        show(stage.node(source), workload.pod, example).await?;
    }
    Ok(())
}
