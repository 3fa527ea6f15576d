//! Where the bucket is in which finished files are kept.

use super::source::{SettingError, Source};
use std::fmt;

/// A bucket, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectsSettings {
    /// `OBJECTS_URL`: the bucket, and what the names of our objects begin with: `s3://bucket/prefix`.
    pub place: BucketPlace,
    /// `OBJECTS_ENDPOINT`: where the storage answers, `https://` or, unencrypted, `http://`. None: Amazon's own, by the region.
    pub endpoint: Option<String>,
    /// `OBJECTS_REGION`. us-east-1, which storage that has no regions takes too.
    pub region: String,
    /// `OBJECTS_ACCESS_KEY` and `OBJECTS_SECRET_KEY`, both or neither. None: the role that Amazon gave this machine.
    pub keys: Option<BucketKeys>,
}

/// A bucket, and a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPlace {
    /// Its name.
    pub bucket: String,
    /// What the names of objects begin with, without a slash at either end; may be empty.
    pub prefix: String,
}

/// What requests are signed with. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketKeys {
    /// Whose requests they are.
    pub access: String,
    secret: String,
}

impl ObjectsSettings {
    pub(super) fn load(from: &Source<'_>) -> Result<Option<Self>, SettingError> {
        let Some(place) = from.parse("OBJECTS_URL", None, |text| BucketPlace::parse(text).map(Some))? else {
            let rest = ["OBJECTS_ENDPOINT", "OBJECTS_REGION", "OBJECTS_ACCESS_KEY", "OBJECTS_SECRET_KEY"];
            return match rest.into_iter().find(|name| from.text(name).is_some()) {
                None => Ok(None),
                Some(name) => Err(useless(name, "OBJECTS_URL is not set; set it too, or none of these")),
            };
        };
        let keys = match (from.text("OBJECTS_ACCESS_KEY"), from.text("OBJECTS_SECRET_KEY")) {
            (None, None) => None,
            (Some(access), Some(secret)) => Some(BucketKeys { access: access.to_owned(), secret: secret.to_owned() }),
            (Some(_), None) => return Err(useless("OBJECTS_ACCESS_KEY", "OBJECTS_SECRET_KEY is not set; set both")),
            (None, Some(_)) => return Err(useless("OBJECTS_SECRET_KEY", "OBJECTS_ACCESS_KEY is not set; set both")),
        };
        let endpoint = from.parse("OBJECTS_ENDPOINT", None, |text| endpoint(text).map(Some))?;
        let region = from.text("OBJECTS_REGION").unwrap_or("us-east-1").to_owned();
        Ok(Some(Self { place, endpoint, region, keys }))
    }

    /// Whether files travel to the bucket unencrypted.
    pub fn is_plain(&self) -> bool {
        self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"))
    }
}

impl BucketKeys {
    /// What only its owner knows.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for BucketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl BucketPlace {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected s3://bucket or s3://bucket/prefix".to_owned();
        let (bucket, prefix) =
            text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))).ok_or_else(expected)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_name = |text: &str| !text.is_empty() && text.chars().all(plain) && text.chars().any(|c| c != '.');
        if is_name(bucket) && (prefix.is_empty() || prefix.split('/').all(is_name)) {
            return Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        Err(format!("{}, of letters, digits, '-', '.' and '_'", expected()))
    }
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "s3://{}{slash}{}", self.bucket, self.prefix)
    }
}

/// An address without a login in it: that would be printed.
fn endpoint(text: &str) -> Result<String, String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains('@') => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("expected https://host or http://host".into()),
    }
}

/// The value is not shown: it may be a secret.
fn useless(name: &'static str, reason: &str) -> SettingError {
    SettingError { name, value: "***".to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn load(pairs: &[(&str, &str)]) -> Result<Option<ObjectsSettings>, SettingError> {
        let environment: Environment =
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        ObjectsSettings::load(&Source(&environment))
    }

    #[test]
    fn a_bucket_is_named_by_its_address() {
        let place = |url| load(&[("OBJECTS_URL", url)]).unwrap().unwrap().place;
        for (url, bucket, prefix) in
            [("s3://files", "files", ""), ("s3://files/", "files", ""), ("s3://files/a/b/", "files", "a/b")]
        {
            assert_eq!(place(url), BucketPlace { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
            assert_eq!(place(url).to_string(), url.trim_end_matches('/'));
        }
        for bad in
            ["files", "s3://", "s3:///a", "s3://files//a", "s3://files/../a", "s3://user:word@files", "gs://files"]
        {
            assert!(load(&[("OBJECTS_URL", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_belongs_together_is_set_together() {
        assert_eq!(load(&[]).unwrap(), None);
        assert!(load(&[("OBJECTS_REGION", "eu-west-1")]).unwrap_err().to_string().contains("OBJECTS_URL"));
        let half = load(&[("OBJECTS_URL", "s3://files"), ("OBJECTS_SECRET_KEY", "kkk")]).unwrap_err().to_string();
        assert!(half.contains("OBJECTS_ACCESS_KEY") && !half.contains("kkk"), "{half}");
        let at = |endpoint| load(&[("OBJECTS_URL", "s3://files"), ("OBJECTS_ENDPOINT", endpoint)]);
        assert!(!at("https://s3.example.org").unwrap().unwrap().is_plain());
        assert!(at("http://127.0.0.1:9000/").unwrap().unwrap().is_plain());
        assert!(at("127.0.0.1:9000").is_err() && at("https://ann:word@s3.example.org").is_err());
    }
}
