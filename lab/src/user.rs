//! Accounts on a test server.

use crate::{server::TestServer, wait::within};
use hypersend_client::{Client, Config, Credentials, MemoryTokens};
use hypersend_protocol::{
    account::Profile,
    id::UserId,
    name::{Email, Password},
};
use std::sync::Arc;

/// The password of every test user.
pub const PASSWORD: &str = "correct horse battery";

/// A registered user, and a client that speaks for them.
#[derive(Debug)]
pub struct TestUser {
    /// Connected.
    pub client: Client,
    /// Where its tokens are.
    pub tokens: Arc<MemoryTokens>,
    /// Who they are.
    pub profile: Profile,
}

impl TestUser {
    /// Makes an account `name@example.org`.
    pub async fn register(config: Config, name: &str) -> Self {
        let credentials = Credentials::Register {
            email: email(name),
            name: name.parse().expect("a name is a display name"),
            password: password(),
        };
        let tokens = MemoryTokens::empty();
        let client = Client::start(config, credentials, tokens.clone()).expect("start a client");
        let welcome = within("the account is made", client.ready()).await.expect("register");
        Self { client, tokens, profile: welcome.me.clone() }
    }

    /// The user's id.
    pub fn id(&self) -> UserId {
        self.profile.id
    }

    /// The user's address.
    pub fn email(&self) -> Email {
        self.profile.email.clone()
    }

    /// How the user logs in.
    pub fn login(&self) -> Credentials {
        Credentials::Login { email: self.email(), password: password() }
    }

    /// Another login of the same user, perhaps by another way.
    pub async fn device(&self, config: Config) -> Client {
        let client = Client::start(config, self.login(), MemoryTokens::empty()).expect("start a client");
        within("the second device logs in", client.ready()).await.expect("log in");
        client
    }
}

/// Registers as many users as the caller has names for: `let [ann, bob] = users(&server).await`.
pub async fn users<const N: usize>(server: &TestServer) -> [TestUser; N] {
    let mut users = Vec::with_capacity(N);
    for n in 0..N {
        users.push(TestUser::register(server.config(), &format!("user{n}")).await);
    }
    users.try_into().expect("N users were made")
}

/// `name@example.org`.
pub fn email(name: &str) -> Email {
    Email::parse(&format!("{name}@example.org")).expect("a name makes an address")
}

/// [`PASSWORD`].
pub fn password() -> Password {
    Password::parse(PASSWORD).expect("it is short enough")
}
