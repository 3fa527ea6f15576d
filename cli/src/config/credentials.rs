//! `credentials.json`: who is logged in, and by which tokens.
//!
//! A refresh token works once, so renewing happens under the lock of `credentials.lock`: several processes of one account
//! take turns, and each finds what the one before it saved.

use super::{Folder, private};
use crate::failure::Failure;
use hypersend_client::{
    ServerAddress, TokenGuard, TokenStore,
    protocol::{account::Profile, id::UserId, name::Email, session::Tokens, time::UnixMillis},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::Arc,
};

const FILE: &str = "credentials.json";
const LOCK: &str = "credentials.lock";

/// Which account, and how its server is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) server: ServerAddress,
    pub(crate) email: Email,
    /// The authorities that alone may vouch for the server.
    pub(crate) ca: Option<PathBuf>,
    /// Whether an authority vouched for the server when the login was begun: from then on one has to.
    pub(crate) vouched: bool,
}

/// What is known about a login without asking the server.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) server: ServerAddress,
    pub(crate) email: Email,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) vouched: bool,
    /// When it ends unless it is used before.
    pub(crate) ends: UnixMillis,
}

/// The file's content.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    server: String,
    email: Email,
    /// Missing between the first tokens and the server's first words.
    user_id: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    #[serde(default)]
    vouched: bool,
    tokens: Tokens,
}

impl Record {
    fn is_of(&self, login: &Login) -> bool {
        self.email == login.email && self.server == login.server.to_string()
    }
}

impl Folder {
    /// The login of this folder, if there is one.
    pub(crate) fn account(&self) -> Result<Option<Account>, Failure> {
        let path = self.credentials_path();
        let record = self.record().map_err(|error| Failure::local("read", &path, &error))?;
        let Some(record) = record else { return Ok(None) };
        let server = record.server.parse().map_err(|error| Failure::local("read", &path, &io::Error::other(error)))?;
        let Record { email, ca, vouched, tokens, .. } = record;
        Ok(Some(Account { server, email, ca, vouched, ends: tokens.refresh_expires }))
    }

    /// Where the login is kept.
    pub(crate) fn credentials_path(&self) -> PathBuf {
        self.file(FILE)
    }

    /// Forgets the login.
    pub(crate) fn forget_account(&self) -> Result<(), Failure> {
        let path = self.credentials_path();
        let removed = self.lock().and_then(|_lock| fs::remove_file(&path));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::local("remove", &path, &error)),
            _ => Ok(()),
        }
    }

    fn record(&self) -> io::Result<Option<Record>> {
        let text = self.read(FILE)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| {
            let remedy = format!("{error}; remove the file and log in again");
            io::Error::new(io::ErrorKind::InvalidData, remedy)
        })
    }

    fn save_record(&self, record: &Record) -> io::Result<()> {
        self.replace(FILE, &serde_json::to_vec_pretty(record).expect("records are JSON"))
    }

    fn lock(&self) -> io::Result<File> {
        let file = private().create(true).truncate(false).open(self.file(LOCK))?;
        file.lock()?;
        Ok(file)
    }
}

/// Keeps the tokens of one login in the folder.
#[derive(Debug)]
pub(crate) struct CredentialStore {
    folder: Folder,
    login: Login,
    /// Whether this login takes the place of whatever is in the folder.
    replaces: bool,
}

impl CredentialStore {
    /// For going on with the folder's login.
    pub(crate) fn stored(folder: Folder, login: Login) -> Self {
        Self { folder, login, replaces: false }
    }

    /// For a new login.
    pub(crate) fn fresh(folder: Folder, login: Login) -> Self {
        Self { folder, login, replaces: true }
    }

    /// Adds what was learned at the first connection to what was saved with the tokens: whom the server named, and
    /// whether an authority vouched for it.
    pub(crate) fn greeted(&self, me: &Profile, vouched: bool) -> Result<(), Failure> {
        let named = self.folder.lock().and_then(|_lock| match self.folder.record()? {
            Some(record) if record.is_of(&self.login) => {
                self.folder.save_record(&Record { user_id: Some(me.id), vouched, ..record })
            }
            _ => Ok(()),
        });
        named.map_err(|error| Failure::local("write", &self.folder.credentials_path(), &error))
    }
}

impl TokenStore for CredentialStore {
    fn load(&self) -> io::Result<Option<Tokens>> {
        match self.folder.record()? {
            // Somebody may have logged in as another since: their tokens are not for this process.
            Some(record) if !record.is_of(&self.login) => Err(another()),
            record => Ok(record.map(|record| record.tokens)),
        }
    }

    fn lock(self: Arc<Self>) -> io::Result<Box<dyn TokenGuard>> {
        let lock = self.folder.lock()?;
        Ok(Box::new(Guard { store: self, _lock: lock }))
    }
}

/// Released when dropped, and when the process dies.
struct Guard {
    store: Arc<CredentialStore>,
    _lock: File,
}

impl TokenGuard for Guard {
    fn save(&mut self, tokens: &Tokens) -> io::Result<()> {
        let CredentialStore { folder, login, replaces } = &*self.store;
        let before = folder.record();
        let before = if *replaces { before.unwrap_or_default() } else { before? };
        let same = before.filter(|record| record.is_of(login));
        if same.is_none() && !replaces {
            return Err(another());
        }
        let Login { server, email, ca, vouched } = login.clone();
        let (server, user_id) = (server.to_string(), same.and_then(|record| record.user_id));
        folder.save_record(&Record { server, email, user_id, ca, vouched, tokens: tokens.clone() })
    }
}

fn another() -> io::Error {
    io::Error::other("another account has been logged in to with this folder; use --config-dir")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, sync::mpsc, thread, time::Duration};

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path().join("config"))).unwrap();
        (dir, folder)
    }

    fn login(name: &str) -> Login {
        let email = format!("{name}@example.org").parse().unwrap();
        Login { server: "localhost:8443".parse().unwrap(), email, ca: None, vouched: false }
    }

    fn tokens(word: &str) -> Tokens {
        Tokens {
            access: word.parse().unwrap(),
            access_expires: UnixMillis(1),
            refresh: word.parse().unwrap(),
            refresh_expires: UnixMillis(2),
        }
    }

    fn fresh(folder: &Folder, name: &str) -> Arc<CredentialStore> {
        Arc::new(CredentialStore::fresh(folder.clone(), login(name)))
    }

    fn stored(folder: &Folder, name: &str) -> Arc<CredentialStore> {
        Arc::new(CredentialStore::stored(folder.clone(), login(name)))
    }

    fn save(store: &Arc<CredentialStore>, word: &str) -> io::Result<()> {
        store.clone().lock()?.save(&tokens(word))
    }

    #[test]
    fn what_is_saved_is_private_and_found_again() {
        let (_dir, folder) = folder();
        assert!(folder.account().unwrap().is_none());
        save(&fresh(&folder, "ann"), "one").unwrap();
        let mode = fs::metadata(folder.credentials_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(stored(&folder, "ann").load().unwrap(), Some(tokens("one")));
        assert_eq!(folder.account().unwrap().unwrap().email.as_str(), "ann@example.org");
        folder.forget_account().unwrap();
        assert!(folder.account().unwrap().is_none());
    }

    #[test]
    fn tokens_of_another_login_are_neither_used_nor_overwritten() {
        let (_dir, folder) = folder();
        save(&fresh(&folder, "ann"), "one").unwrap();
        let ann = stored(&folder, "ann");
        save(&fresh(&folder, "bob"), "two").unwrap();
        assert!(ann.load().unwrap_err().to_string().contains("another account"));
        assert!(save(&ann, "three").is_err());
        assert_eq!(stored(&folder, "bob").load().unwrap(), Some(tokens("two")));
    }

    #[test]
    fn the_second_waits_until_the_first_has_saved() {
        let (_dir, folder) = folder();
        save(&fresh(&folder, "ann"), "one").unwrap();
        let ann = stored(&folder, "ann");
        let mut first = ann.clone().lock().unwrap();
        let (told, waits) = mpsc::channel();
        let second = thread::spawn(move || {
            let guard = ann.clone().lock().unwrap();
            told.send(()).unwrap();
            drop(guard);
            ann.load().unwrap()
        });
        assert!(waits.recv_timeout(Duration::from_millis(50)).is_err(), "both had the lock");
        first.save(&tokens("two")).unwrap();
        drop(first);
        assert_eq!(second.join().unwrap(), Some(tokens("two")));
    }

    #[test]
    fn a_damaged_file_names_itself_and_the_remedy() {
        let (_dir, folder) = folder();
        fs::write(folder.credentials_path(), "nonsense").unwrap();
        let text = folder.account().unwrap_err().as_text();
        assert!(text.contains("credentials.json") && text.contains("log in again"), "{text}");
        save(&fresh(&folder, "ann"), "one").unwrap();
    }
}
