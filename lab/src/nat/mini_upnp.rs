//! `miniupnpd`, a program that many routers have, on a side's NAT: it maps ports in the kernel's packet filter.

use super::side::Side;
use std::{
    fs::{self, File},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A `miniupnpd`. Killed when dropped; when the test is failing, its log is printed.
#[derive(Debug)]
pub struct MiniUpnp {
    process: Child,
    folder: TempDir,
}

impl MiniUpnp {
    /// The outside address that it names. The one that it has in the lab is one of those for documents, which it takes
    /// for a mistake: so it is as if there were another NAT behind it.
    pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(8, 8, 4, 4);

    /// One that is asked by PCP and NAT-PMP, or else by UPnP; or says that the program is not there.
    pub fn start(side: &Side, asked: bool) -> Option<Self> {
        if Command::new("miniupnpd").arg("--version").output().is_err() {
            eprintln!("left out: miniupnpd is not there");
            return None;
        }
        let folder = tempfile::tempdir().expect("make a temporary folder");
        let config = folder.path().join("miniupnpd.conf");
        let yes = |is: bool| if is { "yes" } else { "no" };
        let text = format!(
            "ext_ifname=outside\nlistening_ip=inside\next_ip={}\nenable_natpmp={}\nenable_upnp={}\nsecure_mode=yes\n\
             upnp_table_name=upnp\nupnp_nat_table_name=upnp\nupnp_forward_chain=forward\nupnp_nat_chain=inwards\n\
             upnp_nat_postrouting_chain=outwards\nuuid=019a0000-0000-4000-8000-000000000001\n\
             lease_file={}\nallow 1024-65535 0.0.0.0/0 1024-65535\n",
            Self::OUTSIDE,
            yes(asked),
            yes(!asked),
            folder.path().join("leases").display()
        );
        fs::write(&config, text).expect("write its configuration");
        let rules = "table inet upnp { chain forward { type filter hook forward priority -1; }; \
                     chain inwards { type nat hook prerouting priority -101; }; \
                     chain outwards { type nat hook postrouting priority 99; }; }";
        side.edge().nft(rules).unwrap_or_else(|error| panic!("make its tables: {error}"));
        let log = File::create(folder.path().join("log")).expect("make the log");
        let mut command = side.edge().command("miniupnpd");
        command.args(["-d", "-P"]).arg(folder.path().join("pid")).arg("-f").arg(&config);
        let process = command.stdout(Stdio::null()).stderr(log).spawn().expect("start miniupnpd");
        Some(Self { process, folder })
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether it listens by now.
    pub fn listens(&self) -> bool {
        self.log().contains("istening")
    }
}

impl Drop for MiniUpnp {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of miniupnpd ---\n{}--- end of the log ---", self.log());
        }
    }
}
