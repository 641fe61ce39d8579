//! The webhook as one of several replicas in a cluster, joined when the first of its parts needs that.
//!
//! A webhook with certificates from files needs no API server, no credentials and no right in the cluster; it asks for
//! none. Whatever parts do need it share one client and run for one Lease.

use prometheus_client::registry::Registry;

use crate::cluster::{Cluster, ClusterError, ClusterSettings};
use crate::leader::{Campaign, Leadership};

/// A replica among others.
pub(super) struct Member {
    pub(super) cluster: Cluster,
    pub(super) leadership: Leadership,
    campaign: Campaign,
}

/// A member once somebody asked for it.
#[derive(Default)]
pub(super) struct Membership(Option<Member>);

impl Membership {
    /// Joins, or yields what has been joined. Makes no request.
    pub(super) async fn join(
        &mut self,
        settings: &ClusterSettings,
        registry: &mut Registry,
    ) -> Result<&Member, ClusterError> {
        let member = match self.0.take() {
            Some(member) => member,
            None => {
                let cluster = Cluster::join(settings).await?;
                let (campaign, leadership) = Campaign::new(&cluster, registry);
                Member { cluster, leadership, campaign }
            }
        };
        Ok(self.0.insert(member))
    }

    /// What runs for leader, if anybody joined.
    pub(super) fn into_campaign(self) -> Option<Campaign> {
        self.0.map(|member| member.campaign)
    }
}
