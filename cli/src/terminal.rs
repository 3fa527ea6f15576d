//! The terminal: whether there is one, and asking the person at it.

use crate::failure::{Exit, Failure};
use hypersend_client::protocol::name::Password;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Write},
};
use tokio::task::spawn_blocking;

/// Whether somebody is there to answer.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Puts the terminal back as it was. Prompts run on threads that an interrupt leaves behind in the middle.
pub(crate) struct Restore(Option<(File, Termios)>);

impl Restore {
    pub(crate) fn later() -> Self {
        let terminal = File::options().read(true).write(true).open("/dev/tty");
        Self(terminal.ok().and_then(|terminal| tcgetattr(&terminal).ok().map(|state| (terminal, state))))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some((terminal, state)) = &self.0 {
            // The terminal may be gone, and then it is fine as it is. A line editor also asks for pasted text to be marked
            // (xterm's bracketed paste).
            let _ = tcsetattr(terminal, OptionalActions::Now, state);
            let _ = (&*terminal).write_all(b"\x1b[?2004l");
        }
    }
}

/// Asks until the answer is yes or no.
pub(crate) async fn ask_yes_no(question: String) -> Result<bool, Failure> {
    blocking(move || {
        loop {
            // Not locked while somebody thinks: what ends the command meanwhile has something to say.
            write!(io::stderr(), "{question} (yes/no) ")?;
            io::stderr().flush()?;
            let mut answer = String::new();
            if io::stdin().lock().read_line(&mut answer)? == 0 {
                return Ok(false);
            }
            match answer.trim().to_lowercase().as_str() {
                "yes" | "y" => return Ok(true),
                "no" | "n" => return Ok(false),
                _ => writeln!(io::stderr(), "Please type yes or no.")?,
            }
        }
    })
    .await
}

/// The password: from the environment, or typed unseen.
pub(crate) async fn password(repeat: bool) -> Result<Password, Failure> {
    if let Ok(password) = std::env::var("HYPERSEND_PASSWORD") {
        return Ok(Password::parse(&password)?);
    }
    let _restore = Restore::later();
    let typed = prompt("Password: ").await?;
    if repeat && prompt("Password again: ").await? != typed {
        return Err(Failure::new(Exit::Failed, "password-mismatch", "the two passwords are not the same")
            .or_try("the same command again"));
    }
    Ok(Password::parse(&typed)?)
}

async fn prompt(text: &'static str) -> Result<String, Failure> {
    let typed = spawn_blocking(move || rpassword::prompt_password(text)).await.expect("prompts do not panic");
    typed.map_err(|error| match error.kind() {
        // The signal that says so comes at the same time.
        io::ErrorKind::Interrupted => Failure::interrupted("interrupted"),
        io::ErrorKind::UnexpectedEof => Failure::usage("no password was typed"),
        _ => Failure::usage(format!("there is no terminal to ask for the password ({error})"))
            .or_try("the password in the environment variable HYPERSEND_PASSWORD"),
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Failure> {
    let done = spawn_blocking(work).await.expect("asking does not panic");
    done.map_err(|error| Failure::usage(format!("ask at the terminal: {error}")))
}
