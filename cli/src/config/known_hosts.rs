//! `known_hosts`: certificates that somebody accepted. A line is `HOST:PORT sha256:FINGERPRINT`; `#` begins a comment.

use super::{Folder, private};
use crate::failure::Failure;
use hypersend_client::{Fingerprint, ServerAddress};
use std::{
    io::{self, Write},
    path::PathBuf,
};

const FILE: &str = "known_hosts";

/// An accepted certificate, and where that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) fingerprint: Fingerprint,
    /// From 1.
    pub(crate) line: usize,
}

impl Folder {
    /// The certificate that was accepted for a server.
    pub(crate) fn known_host(&self, server: &ServerAddress) -> Result<Option<Known>, Failure> {
        let failed = |error| Failure::local("read", &self.known_hosts_path(), &error);
        let text = self.read(FILE).map_err(failed)?.unwrap_or_default();
        find(&text, server).map_err(|line| failed(io::Error::other(format!("line {line} is damaged; remove it"))))
    }

    /// Accepts a certificate.
    pub(crate) fn add_known_host(&self, server: &ServerAddress, fingerprint: Fingerprint) -> Result<(), Failure> {
        let path = self.known_hosts_path();
        let add = || {
            let before = self.read(FILE)?.unwrap_or_default();
            // An editor may have left the last line without its end.
            let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
            let mut file = private().append(true).create(true).open(&path)?;
            file.write_all(format!("{end}{server} {fingerprint}\n").as_bytes())?;
            file.sync_all()
        };
        add().map_err(|error| Failure::local("write", &path, &error))
    }

    /// Where accepted certificates are kept.
    pub(crate) fn known_hosts_path(&self) -> PathBuf {
        self.file(FILE)
    }
}

/// The first line about a server; the number of a line about it that says nothing.
fn find(text: &str, server: &ServerAddress) -> Result<Option<Known>, usize> {
    let server = server.to_string();
    for (line, words) in (1..).zip(text.lines().map(|line| line.split('#').next().unwrap_or_default())) {
        let mut words = words.split_whitespace();
        if words.next() == Some(&server) {
            let fingerprint = words.next().and_then(|word| word.parse().ok()).filter(|_| words.next().is_none());
            return Ok(Some(Known { fingerprint: fingerprint.ok_or(line)?, line }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    #[test]
    fn the_line_of_a_server_is_found_by_name_and_port() {
        let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let text = format!("# mine\n\nlocalhost:8443 {a}\n  [::1]:9   {b} # at home\nbroken:8443 sha256:12\n");
        assert_eq!(find(&text, &server("localhost")), Ok(Some(Known { fingerprint: a, line: 3 })));
        assert_eq!(find(&text, &server("[::1]:9")), Ok(Some(Known { fingerprint: b, line: 4 })));
        assert_eq!(find(&text, &server("localhost:9")), Ok(None));
        assert_eq!(find(&text, &server("broken")), Err(5));
    }

    #[test]
    fn what_is_added_is_found_and_what_was_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path().to_owned())).unwrap();
        assert_eq!(folder.known_host(&server("a")).unwrap(), None);
        std::fs::write(folder.known_hosts_path(), "# no end of line").unwrap();
        folder.add_known_host(&server("a"), Fingerprint([1; 32])).unwrap();
        folder.add_known_host(&server("b"), Fingerprint([2; 32])).unwrap();
        assert_eq!(folder.known_host(&server("a")).unwrap().unwrap().line, 2);
        assert_eq!(folder.known_host(&server("b")).unwrap().unwrap().fingerprint, Fingerprint([2; 32]));
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path().to_owned())).unwrap();
        std::fs::write(folder.known_hosts_path(), "\na:8443 nonsense\n").unwrap();
        let text = folder.known_host(&server("a")).unwrap_err().as_text();
        assert!(text.contains("known_hosts: line 2 is damaged"), "{text}");
    }
}
