//! A `mongod` that is there, and does not do well: MongoDB's own failpoint `failCommand`.

use super::Mongod;
use mongodb::bson::{Document, doc};
use std::time::Duration;

/// What commands come to.
#[derive(Clone, Copy, Debug)]
pub enum Illness {
    /// They are refused: there is no room on the disk.
    DiskFull,
    /// They are carried out, after a while.
    Slow(Duration),
    /// They are carried out, and answered as if it were not known whether a majority has it.
    Unsure,
}

impl Illness {
    fn symptoms(self) -> Document {
        match self {
            // `OutOfDiskSpace`.
            Self::DiskFull => doc! { "errorCode": 14_031 },
            Self::Slow(delay) => {
                let delay = i32::try_from(delay.as_millis()).expect("not for weeks");
                doc! { "blockConnection": true, "blockTimeMS": delay }
            }
            // `WriteConcernFailed`.
            Self::Unsure => doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
        }
    }
}

impl Mongod {
    /// Is ill from now on, as far as these commands are concerned.
    pub async fn fall_ill(&self, illness: Illness, commands: &[&str]) {
        let mut data = illness.symptoms();
        data.insert("failCommands", commands);
        self.fail_commands(doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data }).await;
    }

    /// Does well again.
    pub async fn recover(&self) {
        self.fail_commands(doc! { "configureFailPoint": "failCommand", "mode": "off" }).await;
    }

    async fn fail_commands(&self, how: Document) {
        self.admin().run_command(how).await.expect("a mongod for tests has failpoints");
    }
}
