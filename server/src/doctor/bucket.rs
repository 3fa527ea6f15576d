//! The bucket, where finished files are kept in one.

use super::Finding;
use crate::{
    objects::{Objects, ObjectsError},
    report,
    settings::Settings,
};

/// Whether the bucket can be used; nothing when there is none. What is tried lies below an id that no file has.
pub(super) async fn examine(settings: &Settings) -> Option<Finding> {
    let settings = settings.objects.as_ref()?;
    let failed = |error: &ObjectsError, doing: &str| {
        Finding::failed("bucket", format!("{}: {doing}: {}", settings.place, report(error)))
    };
    let objects = match Objects::open(settings) {
        Ok(objects) => objects,
        Err(error) => return Some(failed(&error, "open")),
    };
    Some(match objects.try_out().await {
        Ok(()) if settings.is_plain() => {
            let says =
                format!("{} takes files, unencrypted: use https:// unless it is on this machine", settings.place);
            Finding::warning("bucket", says)
        }
        Ok(()) => Finding::ok("bucket", format!("{} takes files", settings.place)),
        Err((doing, error)) => failed(&error, doing),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Environment, Flags};
    use hypersend_lab::Bucket;

    async fn finding(endpoint: &str, url: &str) -> Finding {
        let settings = [
            ("OBJECTS_URL", url),
            ("OBJECTS_ENDPOINT", endpoint),
            ("OBJECTS_ACCESS_KEY", "test"),
            ("OBJECTS_SECRET_KEY", "test"),
        ];
        let environment: Environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        examine(&Settings::load(&Flags::default(), &environment).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_bucket_is_tried_out_and_nothing_is_left_in_it() {
        assert!(examine(&Settings::default()).await.is_none());
        let bucket = Bucket::start().await;
        let found = finding(&bucket.endpoint(), bucket.url()).await.to_string();
        assert!(found.starts_with("warning") && found.contains("takes files, unencrypted"), "{found}");
        assert!(bucket.keys("").await.is_empty());
    }

    #[tokio::test]
    async fn a_bucket_that_is_not_there_is_found_out() {
        let bucket = Bucket::start().await;
        let missing = finding(&bucket.endpoint(), "s3://another").await;
        assert!(missing.is_failure() && missing.to_string().contains("put"), "{missing}");
    }
}
