//! A terminal with somebody in front of it: a pseudo-terminal (pty(7)) that is the command's controlling terminal.

use crate::person::{HYPERSEND, Person};
use hypersend_lab::{eventually, within};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read, Write},
    process::Child,
    sync::{Arc, Mutex},
    thread,
};

/// A command on a terminal of 100 columns. Killed when dropped.
pub(crate) struct Screen {
    process: Child,
    keyboard: File,
    shown: Arc<Mutex<String>>,
    /// Ends when nobody has the terminal open any more.
    reading: thread::JoinHandle<()>,
}

impl Screen {
    /// Types a command.
    pub(crate) fn start(person: &Person, words: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let terminal = open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&terminal, Winsize { ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        // The shell's part: a session whose controlling terminal this is (util-linux).
        let mut command = person.program("setsid");
        command.args(["--ctty", "--wait", HYPERSEND]).args(words).env("TERM", "xterm").env("PATH", "/usr/bin:/bin");
        let end = || terminal.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        let process = command.spawn().unwrap();
        let (mut output, shown) = (File::from(keyboard.try_clone().unwrap()), Arc::<Mutex<String>>::default());
        let screen = shown.clone();
        let reading = thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A terminal that nobody has open any more reads as an error.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { process, keyboard: keyboard.into(), shown, reading }
    }

    /// Everything that was ever on it, control sequences included.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until a text is shown.
    pub(crate) async fn shows(&self, text: &str) {
        let look = async || self.shown().contains(text).then_some(());
        let waited = tokio::time::timeout(hypersend_lab::wait::PATIENCE, eventually(text, look)).await;
        assert!(waited.is_ok(), "{text:?} is not shown:\n{}", self.shown());
    }

    /// Presses keys.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end; says the exit code.
    pub(crate) async fn end(mut self) -> (Option<i32>, String) {
        let look = async || self.process.try_wait().unwrap();
        let status = within("the command ends", eventually("it ends", look)).await;
        // What was shown last may still be on its way from the terminal.
        let look = async || self.reading.is_finished().then_some(());
        within("the last of it is read", eventually("the terminal is closed", look)).await;
        (status.code(), self.shown())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
