//! From the words of a code to a key that only the two sides have, and what is sealed with it.
//!
//! One guess: the other side's message is taken once. Whoever sends it has put one password to the test with it, and hears by
//! whether the answer opens if it was the right one. The wire is in [`hypersend_protocol::code`].

use super::{error::CodeError, text::Code};
use hypersend_protocol::{
    code::{CODE_VERSION, CodeValue, NotAWord, PAKE_BYTES, SealedWord, Word},
    id::P2pId,
    relay::ticket::Side,
};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use spake2::{Ed25519Group, Identity, Password, Spake2};

const DOMAIN: &str = "hypersend code 1";

/// One side of one code.
pub(super) struct Exchange {
    side: Side,
    mailbox: P2pId,
    /// This side's message, always the same.
    pake: [u8; PAKE_BYTES],
    stage: Stage,
}

enum Stage {
    /// The other side's message has not come.
    Begun(Spake2<Ed25519Group>),
    /// It has, and this came of it.
    Keyed(Box<Keys>),
    /// It was no message.
    Burnt,
}

struct Keys {
    /// The other side's only message.
    peer: [u8; PAKE_BYTES],
    seal: LessSafeKey,
    open: LessSafeKey,
    /// Words that were sealed.
    said: u64,
    /// The number of the newest word that was opened.
    heard: u64,
}

impl Exchange {
    pub(super) fn begin(code: &Code, side: Side, mailbox: P2pId) -> Self {
        let password = Password::new(code.password());
        let [sender, receiver] = [Side::Sender, Side::Receiver].map(|side| Identity::new(&identity(side, mailbox)));
        let (begun, message) = match side {
            Side::Sender => Spake2::start_a(&password, &sender, &receiver),
            Side::Receiver => Spake2::start_b(&password, &sender, &receiver),
        };
        let pake = message.try_into().expect("a letter and a point");
        Self { side, mailbox, pake, stage: Stage::Begun(begun) }
    }

    /// Whether words can be sealed.
    pub(super) fn has_key(&self) -> bool {
        matches!(self.stage, Stage::Keyed(_))
    }

    /// What to set before there is a key.
    pub(super) fn opening(&self) -> Vec<u8> {
        CodeValue { pake: self.pake, sealed: None }.encode()
    }

    /// What to set in order to say a word; `None` while there is no key.
    pub(super) fn say(&mut self, word: &Word) -> Result<Option<Vec<u8>>, NotAWord> {
        let Stage::Keyed(keys) = &mut self.stage else { return Ok(None) };
        let mut bytes = word.encode()?;
        keys.said += 1;
        let aad = Aad::from(head(&self.pake, keys.said));
        keys.seal.seal_in_place_append_tag(nonce(keys.said), aad, &mut bytes).expect("a word is short enough");
        let sealed = SealedWord { number: keys.said, bytes };
        Ok(Some(CodeValue { pake: self.pake, sealed: Some(sealed) }.encode()))
    }

    /// Takes in what the other side has set; gives the word, if there is one and it is new.
    pub(super) fn hear(&mut self, value: &[u8]) -> Result<Option<Word>, CodeError> {
        let CodeValue { pake, sealed } = CodeValue::decode(value)?;
        let keys = self.keys(&pake)?;
        let Some(SealedWord { number, mut bytes }) = sealed else { return Ok(None) };
        if number <= keys.heard {
            return Ok(None);
        }
        match keys.open.open_in_place(nonce(number), Aad::from(head(&pake, number)), &mut bytes) {
            Ok(word) => {
                keys.heard = number;
                Ok(Some(Word::decode(word)?))
            }
            // One that opened before: the words are right, and this is not from who knows them.
            Err(_) if keys.heard > 0 => Err(CodeError::Interference),
            Err(_) => Err(match self.side {
                Side::Sender => CodeError::Guessed,
                Side::Receiver => CodeError::Wrong,
            }),
        }
    }

    /// The keys, made of the other side's message if it is the first.
    fn keys(&mut self, peer: &[u8; PAKE_BYTES]) -> Result<&mut Keys, CodeError> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Burnt) {
            Stage::Begun(begun) => {
                let secret =
                    begun.finish(peer).map_err(|_| NotAWord::Malformed("not a message of SPAKE2".to_owned()))?;
                let [seal, open] = [self.side, self.side.other()].map(|from| key(&secret, from, self.mailbox));
                Stage::Keyed(Box::new(Keys { peer: *peer, seal, open, said: 0, heard: 0 }))
            }
            stage => stage,
        };
        match &mut self.stage {
            Stage::Keyed(keys) if keys.peer == *peer => Ok(keys),
            _ => Err(CodeError::Interference),
        }
    }
}

/// Who a side is. The mailbox is in it, so that nothing of one code is of use with another.
fn identity(side: Side, mailbox: P2pId) -> Vec<u8> {
    let name = match side {
        Side::Sender => " sender",
        Side::Receiver => " receiver",
    };
    [DOMAIN.as_bytes(), name.as_bytes(), mailbox.0.as_bytes()].concat()
}

/// The key with which one side seals.
fn key(secret: &[u8], from: Side, mailbox: P2pId) -> LessSafeKey {
    let info = identity(from, mailbox);
    let derived = Salt::new(HKDF_SHA256, DOMAIN.as_bytes()).extract(secret);
    let mut bytes = [0; 32];
    let info = [info.as_slice()];
    let filled = derived.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes));
    filled.expect("as long as a SHA-256");
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &bytes).expect("its keys have 32 bytes"))
}

/// Each number is used once with a key, and the key is of this exchange alone.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// What stands in the open before a sealed word.
fn head(pake: &[u8; PAKE_BYTES], number: u64) -> [u8; 1 + PAKE_BYTES + 8] {
    let mut bytes = [CODE_VERSION; 1 + PAKE_BYTES + 8];
    bytes[1..=PAKE_BYTES].copy_from_slice(pake);
    bytes[1 + PAKE_BYTES..].copy_from_slice(&number.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const MAILBOX: P2pId = P2pId(Uuid::from_u128(7));

    fn side(code: &str, side: Side, mailbox: P2pId) -> Exchange {
        Exchange::begin(&code.parse().unwrap(), side, mailbox)
    }

    fn pair() -> (Exchange, Exchange) {
        (side("7-apple-river-moon", Side::Sender, MAILBOX), side("7-apple-river-moon", Side::Receiver, MAILBOX))
    }

    /// Both have their keys, and each has opened a word of the other.
    fn met() -> (Exchange, Exchange) {
        let (mut sender, mut receiver) = pair();
        assert_eq!(receiver.hear(&sender.opening()), Ok(None));
        assert_eq!(sender.hear(&say(&mut receiver, &Word::Here)), Ok(Some(Word::Here)));
        assert_eq!(receiver.hear(&say(&mut sender, &Word::Declined)), Ok(Some(Word::Declined)));
        (sender, receiver)
    }

    fn say(exchange: &mut Exchange, word: &Word) -> Vec<u8> {
        exchange.say(word).unwrap().expect("there is a key")
    }

    #[test]
    fn who_knows_the_words_understands() {
        let (mut sender, mut receiver) = pair();
        assert!(!sender.has_key() && sender.say(&Word::Failed) == Ok(None));
        assert_eq!(sender.hear(&receiver.opening()), Ok(None));
        assert_eq!(receiver.hear(&say(&mut sender, &Word::Failed)), Ok(Some(Word::Failed)));
        assert_eq!(sender.hear(&say(&mut receiver, &Word::Here)), Ok(Some(Word::Here)));
        assert!(sender.has_key() && receiver.has_key());
    }

    #[test]
    fn a_word_is_taken_once_and_none_after_a_newer_one() {
        let (mut sender, mut receiver) = met();
        let [older, newer] = [Word::NoWay, Word::Failed].map(|word| say(&mut receiver, &word));
        assert_eq!(sender.hear(&newer), Ok(Some(Word::Failed)));
        for again in [&newer, &older, &receiver.opening()] {
            assert_eq!(sender.hear(again), Ok(None));
        }
    }

    #[test]
    fn who_has_other_words_is_found_out_by_both() {
        let mut sender = side("7-apple-river-moon", Side::Sender, MAILBOX);
        let mut receiver = side("7-apple-river-monkey", Side::Receiver, MAILBOX);
        receiver.hear(&sender.opening()).unwrap();
        assert_eq!(sender.hear(&say(&mut receiver, &Word::Here)), Err(CodeError::Guessed));
        assert_eq!(receiver.hear(&say(&mut sender, &Word::Failed)), Err(CodeError::Wrong));
    }

    #[test]
    fn there_is_no_second_guess() {
        let (mut sender, _) = met();
        for _ in 0..2 {
            let mut other = side("7-apple-river-moon", Side::Receiver, MAILBOX);
            assert_eq!(sender.hear(&other.opening()), Err(CodeError::Interference));
            other.hear(&sender.opening()).unwrap();
            assert_eq!(sender.hear(&say(&mut other, &Word::Here)), Err(CodeError::Interference));
        }
    }

    #[test]
    fn what_was_changed_on_its_way_does_not_open() {
        let (mut sender, mut receiver) = met();
        let value = say(&mut receiver, &Word::NoWay);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 0x10;
            // A number that is below the last is a word of before; no other word comes of it.
            assert!(!matches!(sender.hear(&changed), Ok(Some(_))), "byte {at}");
        }
        assert_eq!(sender.hear(&value), Ok(Some(Word::NoWay)));
    }

    #[test]
    fn a_side_does_not_take_its_own_words_for_the_others() {
        let (mut sender, receiver) = met();
        say(&mut sender, &Word::Failed);
        let own = CodeValue::decode(&say(&mut sender, &Word::Failed)).unwrap();
        let theirs = CodeValue::decode(&receiver.opening()).unwrap();
        let mixed = CodeValue { pake: theirs.pake, sealed: own.sealed };
        assert_eq!(sender.hear(&mixed.encode()), Err(CodeError::Interference));
        let (sender, mut receiver) = pair();
        receiver.hear(&sender.opening()).unwrap();
        let mirrored = receiver.opening();
        assert!(pair().1.hear(&mirrored).is_err(), "a receiver is no sender");
    }

    #[test]
    fn words_of_one_mailbox_are_none_in_another() {
        let other = P2pId(Uuid::from_u128(8));
        let mut sender = side("7-apple-river-moon", Side::Sender, MAILBOX);
        let mut receiver = side("7-apple-river-moon", Side::Receiver, other);
        receiver.hear(&sender.opening()).unwrap();
        assert_eq!(sender.hear(&say(&mut receiver, &Word::Here)), Err(CodeError::Guessed));
    }

    #[test]
    fn nonsense_burns_the_code() {
        let (mut sender, receiver) = pair();
        let mut nonsense = receiver.opening();
        nonsense[1] = b'S';
        assert!(matches!(sender.hear(&nonsense), Err(CodeError::Nonsense(_))));
        assert_eq!(sender.hear(&receiver.opening()), Err(CodeError::Interference));
    }
}
