//! What `keystow webhook --self-managed` needs around it: a real API server with the shipped configuration.
//!
//! Flow: [`Cluster::start`] → a webhook with [`Cluster::FLAGS`] → [`Cluster::ca_pem`], once it is ready.
//! [`Cluster::forget`] makes everything as it was before the first one.

use std::path::Path;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use kube::{Api, Client};

use crate::screen;
use crate::support::control_plane::{ControlPlane, ControlPlaneError};
use crate::support::webhook::apply_configuration;

const NAMESPACE: &str = "keystow";
/// What keystow calls its objects where no flag says otherwise.
const SECRET: &str = "keystow-webhook-tls";
const LEASE: &str = "keystow-webhook";
/// Where nobody serves: no pod of this cluster is sent to the webhook.
const NOWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

/// A control plane and the webhook's place in it.
pub(crate) struct Cluster {
    plane: ControlPlane,
    client: Client,
}

impl Cluster {
    /// Of a replica that is called by its address.
    pub(crate) const FLAGS: [&str; 7] =
        ["--self-managed", "--namespace", NAMESPACE, "--pod-name", "bench", "--server-name", "127.0.0.1"];

    /// Nothing where no control plane can be had, with a remark.
    pub(crate) async fn start() -> Option<Self> {
        let plane = control_plane().await?;
        plane.namespace(NAMESPACE, &[], &[]).await.expect("a namespace");
        let client = plane.client().await.expect("a client of the API server");
        let cluster = Self { plane, client };
        cluster.forget().await;
        Some(cluster)
    }

    /// The credentials of its administrator.
    pub(crate) fn kubeconfig(&self) -> &Path {
        self.plane.kubeconfig()
    }

    /// The CA that the webhook made.
    pub(crate) async fn ca_pem(&self) -> String {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let data = secrets.get(SECRET).await.expect("the webhook's Secret").data.unwrap_or_default();
        String::from_utf8(data["ca.crt"].0.clone()).expect("a CA in PEM")
    }

    /// No Secret, no Lease, no caBundle. No replica may run.
    pub(crate) async fn forget(&self) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), NAMESPACE);
        // What is not there is not there afterwards.
        let _ = secrets.delete(SECRET, &DeleteParams::default()).await;
        let _ = leases.delete(LEASE, &DeleteParams::default()).await;
        apply_configuration(&self.plane, "", "nobody", NOWHERE.into(), None).await;
    }
}

/// A control plane; nothing where there is none to be had, with a remark.
pub(crate) async fn control_plane() -> Option<ControlPlane> {
    match ControlPlane::start().await {
        Ok(plane) => Some(plane),
        Err(ControlPlaneError::Missing(missing)) => {
            screen::remark(&format!("skipped what needs a control plane: {missing}"));
            None
        }
        Err(error) => panic!("the control plane did not start: {error}"),
    }
}
