//! A replica set of three, which goes on when it loses one.

use super::{Mongod, Role};
use crate::wait::eventually;
use mongodb::bson::doc;

/// Three members, any two of which are a majority. Small ones, since three run on one machine.
pub struct ReplicaSet([Mongod; 3]);

impl ReplicaSet {
    /// Starts it, with MongoDB's own settings for elections.
    pub async fn start() -> Self {
        let member = || Mongod::spawn(Role::Member);
        let (first, second, third) = tokio::join!(member(), member(), member());
        let set = Self([first, second, third]);
        let ports = set.0.each_ref().map(|member| member.port);
        set.0[0].initiate(&ports).await;
        set.primary().await;
        for member in &set.0 {
            set.follows(member).await;
        }
        set
    }

    /// The connection string of its database `test`.
    pub fn uri(&self) -> String {
        let hosts = self.0.each_ref().map(|member| member.socket_address().to_string());
        format!("mongodb://{}/test?replicaSet=rs0", hosts.join(","))
    }

    /// Has the primary give its place to another.
    pub async fn step_down(&self) {
        let before = self.primary().await;
        let step_down = doc! { "replSetStepDown": 60, "secondaryCatchUpPeriodSecs": 10 };
        self.0[before].admin().run_command(step_down).await.expect("a primary steps down where others follow");
        eventually("another primary", async || (self.primary().await != before).then_some(())).await;
    }

    /// Kills the primary, and waits until there is another.
    pub async fn kill_primary(&mut self) {
        let primary = self.primary().await;
        self.0[primary].kill();
        self.primary().await;
    }

    /// Starts again whoever was killed.
    pub async fn restart(&mut self) {
        for n in 0..self.0.len() {
            if self.0[n].running.is_none() {
                self.0[n].restart().await;
                self.follows(&self.0[n]).await;
            }
        }
    }

    /// Which member is the primary.
    async fn primary(&self) -> usize {
        eventually("a primary", async || {
            for (n, member) in self.0.iter().enumerate() {
                if member.running.is_some() && member.says("isWritablePrimary").await {
                    return Some(n);
                }
            }
            None
        })
        .await
    }

    /// Waits until a member has its place in the set.
    async fn follows(&self, member: &Mongod) {
        let look = async || (member.says("secondary").await || member.says("isWritablePrimary").await).then_some(());
        eventually("the member follows the primary", look).await;
    }
}
