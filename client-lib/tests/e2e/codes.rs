//! Files to whoever types a code, by way of a real server and real sockets; nobody has an account.

use crate::support::code as refusal_code;
use hypersend_client::{
    Progress,
    direct::{
        Code, CodeError, CodeOffer, CodeOptions, DirectError, DirectTransfer, Offer, Received, Sent, Whereabouts,
        receive_by_code, send_by_code,
    },
    mailbox::{Guest, MailboxChannel},
    protocol::{code::CodeValue, mailbox::Nameplate, refusal::ErrorCode},
};
use hypersend_lab::{TestServer, fixtures::random_file, within};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

struct Stage {
    server: TestServer,
    out: TempDir,
    into: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let server = TestServer::start().await;
        Self { server, out: tempfile::tempdir().unwrap(), into: tempfile::tempdir().unwrap() }
    }

    fn guest(&self) -> Guest {
        Guest::start(self.server.config()).unwrap()
    }

    fn file(&self, name: &str, size: u64) -> PathBuf {
        random_file(&self.out.path().join(name), size, name.len() as u64)
    }

    async fn send(&self, paths: &[PathBuf], options: CodeOptions) -> (Code, DirectTransfer<Sent>) {
        let offer = Arc::new(Offer::open(paths.to_vec()).await.unwrap());
        within("a code is given", send_by_code(self.guest(), offer, options)).await.unwrap()
    }

    async fn receive(&self, code: &Code) -> Result<CodeOffer, DirectError> {
        self.receive_with(code, CodeOptions::default()).await
    }

    async fn receive_with(&self, code: &Code, options: CodeOptions) -> Result<CodeOffer, DirectError> {
        within("the offer comes, or why not", receive_by_code(self.guest(), code, options)).await
    }

    /// A code, and what is offered by it.
    async fn meet(&self, paths: &[PathBuf]) -> (DirectTransfer<Sent>, CodeOffer) {
        let (code, sending) = self.send(paths, CodeOptions::default()).await;
        let offer = self.receive(&code).await.unwrap();
        (sending, offer)
    }
}

fn nameplate_of(code: &Code) -> Nameplate {
    code.to_string().split_once('-').unwrap().0.parse().unwrap()
}

async fn both(sending: &mut DirectTransfer<Sent>, receiving: &mut DirectTransfer<Received>) -> Ends {
    within("both end", async { tokio::join!(sending.finish(), receiving.finish()) }).await
}

type Ends = (Result<Sent, DirectError>, Result<Received, DirectError>);

fn same(one: &Path, other: &Path) {
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{} is not {}", other.display(), one.display());
}

/// Everything that a server has on its disk.
fn contents(folder: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            contents(&entry.path(), into);
        } else {
            into.extend(fs::read(entry.path()).unwrap());
        }
    }
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_folders_go_to_whoever_types_the_code() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 20 << 20);
    let trip = stage.out.path().join("trip");
    fs::create_dir(&trip).unwrap();
    for n in 0..30 {
        fs::write(trip.join(format!("{n}.jpg")), vec![n; 10_000]).unwrap();
    }
    let (code, mut sending) = stage.send(&[film.clone(), trip.clone()], CodeOptions::default()).await;
    let typed = code.to_string().replace('-', " ").to_uppercase().parse().unwrap();
    let offer = stage.receive(&typed).await.unwrap();
    let summary = offer.summary();
    assert_eq!((summary.files, summary.bytes()), (31, (20 << 20) + 300_000));
    let names: Vec<&str> = summary.things.iter().map(|thing| thing.name.as_str()).collect();
    assert_eq!(names, ["film.mkv", "trip"]);
    let mut whereabouts = sending.whereabouts();
    within("she waits for the answer", whereabouts.wait_for(|now| *now == Whereabouts::Offered)).await.unwrap();
    let mut receiving = offer.accept(stage.into.path());
    let (sent, received) = both(&mut sending, &mut receiving).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.files, sent.bytes), (31, (20 << 20) + 300_000));
    assert_eq!(received.places, [stage.into.path().join("film.mkv"), stage.into.path().join("trip")]);
    same(&film, &received.places[0]);
    for n in 0..30 {
        same(&trip.join(format!("{n}.jpg")), &received.places[1].join(format!("{n}.jpg")));
    }
    assert!(sending.keys().borrow().is_none(), "there are no words to compare: the code has seen to that");
    let again = stage.receive(&code).await;
    let Err(DirectError::Client(again)) = again else { panic!("{again:?}") };
    assert_eq!(again.code(), Some(ErrorCode::NotFound), "a code counts once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_code_fails_on_both_sides_and_the_right_one_is_used_up() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 1 << 20);
    let (code, mut sending) = stage.send(&[film], CodeOptions::default()).await;
    let right = code.to_string();
    let (words, last) = right.rsplit_once('-').unwrap();
    let wrong = format!("{words}-{}", if last == "river" { "moon" } else { "river" });
    let told = stage.receive(&wrong.parse().unwrap()).await.unwrap_err();
    assert!(matches!(told, DirectError::Code(CodeError::Wrong)), "{told}");
    let told = within("she is told", sending.finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Code(CodeError::Guessed)), "{told}");
    let told = stage.receive(&code).await.map(drop);
    let Err(DirectError::Client(told)) = told else { panic!("{told:?}") };
    assert_eq!(refusal_code(Err::<(), _>(told)), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_may_be_declined_or_taken_back() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 1 << 20);
    let (mut sending, offer) = stage.meet(std::slice::from_ref(&film)).await;
    offer.decline().await;
    let told = within("she is told", sending.finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Declined), "{told}");

    let (mut sending, mut offer) = stage.meet(std::slice::from_ref(&film)).await;
    sending.cancel();
    let told = within("it is called off", sending.finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Cancelled), "{told}");
    let told = within("he is told", offer.withdrawn()).await;
    assert!(matches!(told, DirectError::OtherCancelled), "{told}");

    // Before anybody has come.
    let (code, mut sending) = stage.send(&[film], CodeOptions::default()).await;
    sending.cancel();
    within("it is called off", sending.finish()).await.unwrap_err();
    assert!(matches!(stage.receive(&code).await, Err(DirectError::Client(_))), "the code is gone with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_call_it_off_in_the_midst_of_it() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 256 << 20);
    for by_sender in [true, false] {
        let (mut sending, offer) = stage.meet(std::slice::from_ref(&film)).await;
        let mut receiving = offer.accept(stage.into.path());
        let mut whereabouts = receiving.whereabouts();
        let is_carried = |now: &Whereabouts| matches!(now, Whereabouts::Carried(_));
        within("a way is found", whereabouts.wait_for(is_carried)).await.unwrap();
        if by_sender {
            sending.cancel();
        } else {
            receiving.cancel();
        }
        let (sent, received) = both(&mut sending, &mut receiving).await;
        let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
        let (by, other) = if by_sender { (&sent, &received) } else { (&received, &sent) };
        assert!(by.is_own_cancellation(), "{by}");
        assert!(other.is_others_cancellation(), "{other}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_off_goes_on_by_another_code() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 96 << 20);
    let (sending, offer) = stage.meet(std::slice::from_ref(&film)).await;
    let receiving = offer.accept(stage.into.path());
    let mut progress = receiving.progress();
    let some = |now: &Option<Progress>| now.is_some_and(|now| now.stored_bytes >= 8 << 20);
    within("some of it arrives", progress.wait_for(some)).await.unwrap();
    // Both programs end, without a word.
    drop((sending, receiving));

    let (mut sending, offer) = stage.meet(std::slice::from_ref(&film)).await;
    let mut receiving = offer.accept(stage.into.path());
    let (sent, received) = both(&mut sending, &mut receiving).await;
    sent.unwrap();
    same(&film, &received.unwrap().places[0]);
    let resumed = receiving.progress().borrow().unwrap().resumed_bytes;
    assert!(resumed > 0, "it began anew");
    assert_eq!(fs::read_dir(stage.into.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_way_both_are_told() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 1 << 20);
    // Relays alone, of which this server has none.
    let options = CodeOptions { relay_only: true, seek: Duration::from_millis(300), ..CodeOptions::default() };
    let (code, mut sending) = stage.send(&[film], options).await;
    let mut receiving = stage.receive(&code).await.unwrap().accept(stage.into.path());
    let (sent, received) = both(&mut sending, &mut receiving).await;
    let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
    assert!(matches!(sent, DirectError::NoWay), "{sent}");
    assert!(matches!(received, DirectError::NoWay), "{received}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_not_shown_the_words_is_told_nothing_and_neither_is_the_server() {
    let stage = Stage::new().await;
    let film = stage.file("very-private-film.mkv", 1 << 20);
    let (code, mut sending) = stage.send(std::slice::from_ref(&film), CodeOptions::default()).await;
    let number = nameplate_of(&code);
    let mut curious = MailboxChannel::claim(stage.server.config(), number).await.unwrap();
    let value = within("there is a value", curious.next()).await.unwrap().unwrap();
    assert_eq!(CodeValue::decode(&value).unwrap().sealed, None);
    // His own message, with the wrong words or none, and something that he cannot have sealed.
    let mut message = CodeValue::decode(&value).unwrap();
    message.pake[0] = b'B';
    message.sealed = Some(hypersend_client::protocol::code::SealedWord { number: 1, bytes: vec![0; 40] });
    curious.set(message.encode()).unwrap();
    let told = within("she is told", sending.finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Code(CodeError::Guessed)), "{told}");
    while let Some(value) = within("the mailbox ends", curious.next()).await.unwrap() {
        assert!(!has(&value, b"private") && value.len() < 100, "{} bytes", value.len());
    }

    let (mut sending, offer) = stage.meet(&[film]).await;
    assert_eq!(offer.summary().things[0].name.as_str(), "very-private-film.mkv");
    let mut disk = Vec::new();
    contents(&stage.server.data_root(), &mut disk);
    assert!(!has(&disk, b"private"), "the server knows a name");
    assert!(!has(stage.server.log().as_bytes(), b"private"), "the server has logged a name");
    offer.decline().await;
    within("she is told", sending.finish()).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_outlives_the_server_and_a_transfer_needs_it_no_more() {
    let mut stage = Stage::new().await;
    let film = stage.file("film.mkv", 8 << 20);
    let (code, mut sending) = stage.send(std::slice::from_ref(&film), CodeOptions::default()).await;
    stage.server.restart().await;
    let offer = stage.receive(&code).await.unwrap();
    let mut receiving = offer.accept(stage.into.path());
    let mut whereabouts = receiving.whereabouts();
    within("a way is found", whereabouts.wait_for(|now| matches!(now, Whereabouts::Carried(_)))).await.unwrap();
    stage.server.kill();
    let (sent, received) = both(&mut sending, &mut receiving).await;
    sent.unwrap();
    same(&film, &received.unwrap().places[0]);
}

#[tokio::test]
async fn who_types_a_code_and_leaves_without_a_word_has_used_it_up() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 10);
    let (code, mut sending) = stage.send(std::slice::from_ref(&film), CodeOptions::default()).await;
    within("it is claimed", stage.guest().claim(nameplate_of(&code))).await.unwrap().leave().await;
    let ended = within("she is told", sending.finish()).await.unwrap_err();
    assert!(matches!(ended, DirectError::Code(CodeError::Lapsed)), "{ended}");
    let refused = stage.receive(&code).await.unwrap_err();
    assert!(matches!(&refused, DirectError::Client(error) if error.code() == Some(ErrorCode::NotFound)), "{refused}");
}

/// Little patience with who says nothing.
fn hasty() -> CodeOptions {
    CodeOptions { greeting: Duration::from_millis(500), ..CodeOptions::default() }
}

#[tokio::test]
async fn who_types_a_code_and_says_no_more_than_that_has_used_it_up() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 10);
    let (code, mut sending) = stage.send(&[film], hasty()).await;
    let mut silent = within("it is claimed", stage.guest().claim(nameplate_of(&code))).await.unwrap();
    let value = within("there is a value", silent.next()).await.unwrap().unwrap();
    // A message as it begins, behind which nothing follows.
    let mut message = CodeValue::decode(&value).unwrap();
    message.pake[0] = b'B';
    silent.set(message.encode()).unwrap();
    let ended = within("she is told", sending.finish()).await.unwrap_err();
    assert!(matches!(ended, DirectError::Code(CodeError::Gone)), "{ended}");
    while within("the mailbox ends", silent.next()).await.unwrap().is_some() {}
}

#[tokio::test]
async fn who_shall_be_waited_for_without_end_is() {
    let stage = Stage::new().await;
    let film = stage.file("film.mkv", 10);
    let patient = CodeOptions { greeting: Duration::MAX, ..CodeOptions::default() };
    let (code, mut sending) = stage.send(std::slice::from_ref(&film), patient).await;
    let mut receiving = stage.receive_with(&code, patient).await.unwrap().accept(stage.into.path());
    let (sent, received) = both(&mut sending, &mut receiving).await;
    assert_eq!(sent.unwrap().files, 1);
    same(&film, &received.unwrap().places[0]);
}

#[tokio::test]
async fn a_code_behind_which_nobody_speaks_is_given_up() {
    let stage = Stage::new().await;
    let mut mute = within("a mailbox opens", stage.guest().open()).await.unwrap();
    let code = format!("{}-apple-river-moon", mute.nameplate()).parse().unwrap();
    let ended = stage.receive_with(&code, hasty()).await.unwrap_err();
    assert!(matches!(ended, DirectError::Code(CodeError::NoSender)), "{ended}");
    while within("the mailbox ends", mute.next()).await.unwrap().is_some() {}
}
