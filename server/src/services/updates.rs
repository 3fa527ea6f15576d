//! Releases of client programs, as the operator publishes them: a JSON file, looked at again when it has changed. A file that
//! cannot be used when the server starts keeps it from starting; later it changes nothing, and the log says why.

use crate::disk::Disk;
use data_encoding::HEXLOWER_PERMISSIVE;
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// The longest file, in bytes; the most releases in it; the most builds of one.
const MAX_BYTES: u64 = 1 << 20;
const MAX_RELEASES: usize = 200;
const MAX_BUILDS: usize = 32;

/// A version of the programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// By Semantic Versioning.
    pub version: Version,
    /// What is new, for people.
    #[serde(default)]
    pub notes: String,
    /// One for each platform.
    pub builds: Vec<Build>,
}

/// A file to be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// What it runs on, such as `linux-x86_64`: small letters, digits, `-` and `_`.
    pub platform: String,
    /// Where it is: an `https` address.
    pub url: String,
    /// Its SHA-256, as 64 hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpdatesError {
    /// It cannot be read.
    #[error("read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It is too long.
    #[error("{} has more than {MAX_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    /// It is not of the form that docs/operations.md describes.
    #[error("{} is not of the form that docs/operations.md describes", .0.display())]
    Form(PathBuf, #[source] serde_json::Error),
    /// Something in it makes no sense.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What, and what would be right.
        reason: String,
    },
}

/// The service of releases.
#[derive(Clone, Debug)]
pub struct Updates(Option<Arc<File>>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    disk: Disk,
    known: Mutex<Known>,
}

/// What was read, and of which time.
#[derive(Debug)]
struct Known {
    modified: Option<SystemTime>,
    /// The newest first.
    releases: Arc<Vec<Release>>,
}

impl Updates {
    /// Publishes what is in the file; nothing without one.
    pub async fn open(path: Option<PathBuf>, disk: Disk) -> Result<Self, UpdatesError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let from = path.clone();
        let (modified, releases) = disk.run(move || (modified(&from), read(&from))).await;
        let known = Mutex::new(Known { modified, releases: Arc::new(releases?) });
        Ok(Self(Some(Arc::new(File { path, disk, known }))))
    }

    /// All releases, the newest first.
    pub async fn all(&self) -> Arc<Vec<Release>> {
        let Some(file) = self.0.clone() else { return Arc::default() };
        let disk = file.disk.clone();
        disk.run(move || file.current()).await
    }

    /// The newest release for a platform, if it is newer than this version. What is still being tried (`1.0.0-beta`) is for
    /// those who try already.
    pub async fn newer(&self, platform: &str, than: &Version) -> Result<Option<(Release, Build)>, Refusal> {
        let all = self.all().await;
        let mut builds = all.iter().filter_map(|release| {
            let build = release.builds.iter().find(|build| build.platform == platform)?;
            Some((release, build))
        });
        let mut any = false;
        let newest = builds
            .by_ref()
            .inspect(|_| any = true)
            .find(|(release, _)| release.version.pre.is_empty() || !than.pre.is_empty());
        if !any {
            let message = format!("there is no release for {platform:?}; GET /api/v1/updates lists what there is");
            return Err(Refusal::new(ErrorCode::NotFound, message));
        }
        Ok(newest
            .filter(|(release, _)| release.version > *than)
            .map(|(release, build)| (release.clone(), build.clone())))
    }
}

impl File {
    fn current(&self) -> Arc<Vec<Release>> {
        let now = modified(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.modified != now {
            // Whatever it is now: it is not read, and complained of, again before it changes again.
            known.modified = now;
            match read(&self.path) {
                Ok(releases) => known.releases = Arc::new(releases),
                Err(error) => tracing::warn!(error = %crate::report(&error), "releases not taken up"),
            }
        }
        known.releases.clone()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    releases: Vec<Release>,
}

fn read(path: &Path) -> Result<Vec<Release>, UpdatesError> {
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    let length = read.map_err(|error| UpdatesError::Read(path.to_owned(), error))?;
    if length as u64 > MAX_BYTES {
        return Err(UpdatesError::TooLong(path.to_owned()));
    }
    let published: Published =
        serde_json::from_slice(&text).map_err(|error| UpdatesError::Form(path.to_owned(), error))?;
    let mut releases = published.releases;
    check(&releases).map_err(|reason| UpdatesError::Content { path: path.to_owned(), reason })?;
    releases.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(releases)
}

fn check(releases: &[Release]) -> Result<(), String> {
    if releases.len() > MAX_RELEASES {
        return Err(format!("{} releases are too many; keep the newest {MAX_RELEASES}", releases.len()));
    }
    let mut versions = HashSet::new();
    for Release { version, builds, .. } in releases {
        if !versions.insert(version) {
            return Err(format!("version {version} is there twice"));
        }
        if builds.is_empty() || builds.len() > MAX_BUILDS {
            return Err(format!("version {version} has {} builds; expected 1 to {MAX_BUILDS}", builds.len()));
        }
        let mut platforms = HashSet::new();
        for Build { platform, url, sha256, .. } in builds {
            let of = format!("version {version}, platform {platform:?}");
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            if platform.is_empty() || platform.len() > 64 || !platform.bytes().all(is_name) {
                return Err(format!("{of}: expected 1 to 64 small letters, digits, - and _"));
            }
            if !platforms.insert(platform) {
                return Err(format!("{of} is there twice"));
            }
            if !url.starts_with("https://") || url.parse::<http::Uri>().is_err() {
                return Err(format!("{of}: the url {url:?} is no https address"));
            }
            if HEXLOWER_PERMISSIVE.decode(sha256.as_bytes()).map(|hash| hash.len()) != Ok(32) {
                return Err(format!("{of}: expected a sha256 of 64 hexadecimal digits"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    fn release(version: &str, platforms: &[&str]) -> Value {
        let builds: Vec<_> = platforms
            .iter()
            .map(|platform| {
                let url = format!("https://example.org/{version}/{platform}");
                json!({ "platform": platform, "url": url, "sha256": "ab".repeat(32), "size": 7 })
            })
            .collect();
        json!({ "version": version, "notes": "news", "builds": builds })
    }

    fn write(dir: &TempDir, releases: &[Value]) -> PathBuf {
        let path = dir.path().join("updates.json");
        fs::write(&path, json!({ "releases": releases }).to_string()).unwrap();
        path
    }

    async fn open(path: PathBuf) -> Result<Updates, UpdatesError> {
        Updates::open(Some(path), Disk::start().unwrap()).await
    }

    async fn newer(updates: &Updates, platform: &str, than: &str) -> Option<String> {
        let found = updates.newer(platform, &than.parse().unwrap()).await.unwrap();
        found.map(|(release, _)| release.version.to_string())
    }

    #[tokio::test]
    async fn the_newest_for_a_platform_is_found_and_trials_are_for_who_tries() {
        let dir = tempfile::tempdir().unwrap();
        let releases =
            [release("1.9.0", &["linux", "mac"]), release("1.10.0", &["linux"]), release("2.0.0-beta.1", &["linux"])];
        let updates = open(write(&dir, &releases)).await.unwrap();
        assert_eq!(newer(&updates, "linux", "1.9.0").await.as_deref(), Some("1.10.0"));
        assert_eq!(newer(&updates, "linux", "1.10.0").await, None);
        assert_eq!(newer(&updates, "linux", "2.0.0-alpha").await.as_deref(), Some("2.0.0-beta.1"));
        assert_eq!(newer(&updates, "mac", "1.0.0").await.as_deref(), Some("1.9.0"));
        let nothing = updates.newer("amiga", &Version::new(1, 0, 0)).await.unwrap_err();
        assert_eq!(nothing.code, ErrorCode::NotFound);
        let versions: Vec<_> = updates.all().await.iter().map(|release| release.version.to_string()).collect();
        assert_eq!(versions, ["2.0.0-beta.1", "1.10.0", "1.9.0"]);
    }

    #[tokio::test]
    async fn a_change_is_taken_up_and_nonsense_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(&dir, &[release("1.0.0", &["linux"])]);
        let updates = open(path.clone()).await.unwrap();
        let change = |text: &str, second: u64| {
            fs::write(&path, text).unwrap();
            // Two writes may be of the same moment to a file system.
            let later = SystemTime::now() + std::time::Duration::from_secs(second);
            fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        };
        change("nonsense", 1);
        assert_eq!(newer(&updates, "linux", "0.9.0").await.as_deref(), Some("1.0.0"));
        change(&json!({ "releases": [release("1.1.0", &["linux"])] }).to_string(), 2);
        assert_eq!(newer(&updates, "linux", "0.9.0").await.as_deref(), Some("1.1.0"));
        assert!(Updates::open(None, Disk::start().unwrap()).await.unwrap().all().await.is_empty());
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let with = |field: &str, value: Value| {
            let mut release = release("1.0.0", &["linux"]);
            release["builds"][0][field] = value;
            release
        };
        let many =
            |count: usize| (0..count).map(|patch| release(&format!("1.0.{patch}"), &["linux"])).collect::<Vec<_>>();
        for (releases, complaint) in [
            (vec![release("1.0.0", &["linux"]), release("1.0.0", &["mac"])], "1.0.0 is there twice"),
            (vec![release("1.0.0", &["linux", "linux"])], "is there twice"),
            (vec![release("1.0.0", &[])], "expected 1 to 32"),
            (vec![with("platform", json!("Linux x86"))], "small letters"),
            (vec![with("url", json!("http://example.org"))], "no https address"),
            (vec![with("sha256", json!("abcd"))], "64 hexadecimal digits"),
            (many(MAX_RELEASES + 1), "too many"),
        ] {
            let error = open(write(&dir, &releases)).await.unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        assert!(open(write(&dir, &many(MAX_RELEASES))).await.is_ok());
        assert!(matches!(open(write(&dir, &[json!({})])).await, Err(UpdatesError::Form(..))));
        assert!(matches!(open(dir.path().join("none")).await, Err(UpdatesError::Read(..))));
        let long = dir.path().join("long");
        fs::write(&long, " ".repeat(usize::try_from(MAX_BYTES).unwrap() + 1)).unwrap();
        assert!(matches!(open(long).await, Err(UpdatesError::TooLong(_))));
    }
}
