//! The examples of `webhook-config/` that are shown, and the pods in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{Failure, Outcome};

/// The Secret that user-rpc reads, which its author is told to make by hand.
pub(crate) const SECRET: (&str, &str) = ("jwt-secret", "secret-key");

/// An example.
pub(crate) struct Example {
    pub(crate) file: PathBuf,
    pub(crate) shows: &'static str,
    /// Names that the application must find in `/secret/secret`.
    pub(crate) names: &'static [&'static str],
    /// Variables that the application must have.
    pub(crate) variables: &'static [&'static str],
    pub(crate) workload: Workload,
    /// The objects beside the workload, such as its service account.
    pub(crate) others: Vec<Value>,
}

/// A pod, and what it was made from.
pub(crate) struct Workload {
    pub(crate) pod: Pod,
    /// `Deployment user-rpc`; none where the pod stands for itself.
    pub(crate) template_of: Option<String>,
}

impl Example {
    pub(crate) fn all() -> Outcome<[Self; 2]> {
        let kees = Self::read(
            "kees-pod.yaml",
            "a pod as kees had it: a key pair and a password in a file",
            &["db.password", "signingKey.v1_private", "signingKey.v1_public"],
            &[],
        )?;
        let user_rpc = Self::read(
            "user-rpc.yaml",
            "a key of a Secret as a variable, and a service account",
            &[],
            &["JWT_SECRET_KEY"],
        )?;
        Ok([kees, user_rpc])
    }

    fn read(
        name: &str,
        shows: &'static str,
        names: &'static [&'static str],
        variables: &'static [&'static str],
    ) -> Outcome<Self> {
        let file = shipped("examples").join(name);
        let text = fs::read_to_string(&file).map_err(|error| Failure::new(file.to_string_lossy(), error))?;
        let (workload, others) =
            workload(&text).map_err(|reason| Failure::new(file.to_string_lossy(), reason))?;
        Ok(Self { file, shows, names, variables, workload, others })
    }

    pub(crate) fn name(&self) -> &str {
        self.file.file_stem().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// A directory of `webhook-config/`.
pub(crate) fn shipped(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config").join(directory)
}

/// An object that a shipped file has, alone.
pub(crate) fn object(directory: &str, file: &str) -> Outcome<Value> {
    let path = shipped(directory).join(file);
    let failed = |reason: String| Failure::new(path.to_string_lossy(), reason);
    let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|error| failed(error.to_string()))
}

/// The labels of an object.
pub(crate) fn labels(object: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default()
}

/// The workload among the objects of a manifest, and the others.
pub(crate) fn workload(manifest: &str) -> Result<(Workload, Vec<Value>), String> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).map_err(|error| error.to_string())?;
    let (workloads, others): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|object| object["kind"] == "Pod" || object["kind"] == "Deployment");
    let [object] = workloads.as_slice() else {
        return Err(format!("{} workloads instead of one", workloads.len()));
    };
    let metadata = &object["metadata"];
    let (pod, template_of) = if object["kind"] == "Pod" {
        (object.clone(), None)
    } else {
        let name = metadata["name"].as_str().unwrap_or_default();
        let mut pod = object["spec"]["template"].clone();
        pod["metadata"]["namespace"] = metadata["namespace"].clone();
        // As the controller of a ReplicaSet names its pods.
        pod["metadata"]["generateName"] = json!(format!("{name}-"));
        (pod, Some(format!("Deployment {name}")))
    };
    let pod = serde_json::from_value(pod).map_err(|error| error.to_string())?;
    Ok((Workload { pod, template_of }, others))
}
