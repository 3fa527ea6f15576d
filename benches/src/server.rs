//! A real server: the release program, on a port and a data root of its own.

use crate::{
    process::{Process, Usage, reset_peak},
    role::Login,
    settings::Settings,
};
use anyhow::{Context, Result};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// A server that listens.
pub(crate) struct Server {
    process: Process,
    program: PathBuf,
    root: PathBuf,
    given: Vec<(String, String)>,
    address: SocketAddr,
}

impl Server {
    /// Starts one with everything under `root`.
    pub(crate) fn start(settings: &Settings, root: &Path) -> Result<Self> {
        Self::start_with(settings, root, &[])
    }

    /// Starts one with its files under `root`, and its records in a MongoDB if one is named.
    pub(crate) fn start_on(settings: &Settings, root: &Path, mongodb: Option<String>) -> Result<Self> {
        Self::given(settings, root, mongodb.map(|uri| ("MONGODB_URI".to_owned(), uri)).into_iter().collect())
    }

    /// Starts one with everything under `root`, and these settings.
    pub(crate) fn start_with(settings: &Settings, root: &Path, given: &[(&str, &str)]) -> Result<Self> {
        let owned = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::given(settings, root, owned.collect())
    }

    fn given(settings: &Settings, root: &Path, given: Vec<(String, String)>) -> Result<Self> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let program = settings.server()?;
        let (process, address) = launch(&program, root, &given, any)?;
        Ok(Self { process, program, root: root.to_owned(), given, address })
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with the same data on the same port.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.process.kill();
        (self.process, self.address) = launch(&self.program, &self.root, &self.given, self.address)?;
        Ok(())
    }

    /// What a client needs to log in as somebody; the first to come registers.
    pub(crate) fn login(&self, user: &str) -> Login {
        Login {
            server: self.address,
            certificate: self.root.join("certs/dev-cert.pem"),
            user: user.to_owned(),
            tcp: false,
        }
    }

    /// The kernel's account of it.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }

    /// Begins its peak of memory anew.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        reset_peak(self.process.pid())
    }
}

fn launch(
    program: &Path,
    root: &Path,
    given: &[(String, String)],
    listen: SocketAddr,
) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(program);
    command
        .current_dir(root)
        .env_clear()
        .env("LISTEN", listen.to_string())
        .env("DATA_ROOT", root.join("data"))
        .env("CERTS_DIR", root.join("certs"))
        .env("LOG", "warn")
        // Not beside what is measured.
        .env("RELAY_LISTEN", "off")
        // Logins are not what is measured; their limits would only make the measurement wait.
        .env("BCRYPT_COST", "10")
        .env("LOGINS_PER_ACCOUNT_PER_MINUTE", "100000")
        .env("LOGINS_PER_ADDRESS_PER_MINUTE", "100000")
        .env("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", "100000")
        .env("CODE_OPENINGS_PER_ADDRESS_PER_MINUTE", "100000")
        .env("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", "100000")
        // Nor is what one user may reserve of a disk that happens to be nearly full.
        .env("MAX_RESERVED_PER_USER", "1T");
    command.envs(given.iter().map(|(name, value)| (name, value)));
    // Debugging aids for whoever looks for the bound, such as the allocator's settings.
    command.envs(std::env::vars().filter(|(name, _)| name.starts_with("MALLOC_") || name == "TOKIO_WORKER_THREADS"));
    let process = Process::start("hypersend-server", &mut command)?;
    let line = process.line()?;
    let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
    Ok((process, address.with_context(|| format!("the server said {line:?}"))?))
}
