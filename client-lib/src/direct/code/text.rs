//! A code, as one person reads it out and another one types it.

use hypersend_paths::word_list;
use hypersend_protocol::mailbox::Nameplate;
use std::{cmp::Reverse, fmt, str::FromStr};

/// Letters of which no two words have the same to begin with.
const UNIQUE_LETTERS: usize = 4;
const WORDS: usize = 3;

/// The number of a mailbox, and three words of 2,048: `7-apple-river-moon`. 33 bits are plenty where each mailbox gives one
/// guess. Shown by [`Display`](fmt::Display) alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    nameplate: Nameplate,
    words: [&'static str; WORDS],
}

/// A text is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Not a number and three words.
    #[error("a code is a number and three words, like 7-apple-river-moon")]
    Form,
    /// A number that the server gives nobody.
    #[error("no code begins with {0:?}; it is a number and three words, like 7-apple-river-moon")]
    Number(String),
    /// A word that no code has.
    #[error("no code has the word {word:?}; is it {nearest:?}?")]
    Word {
        /// As it was typed, or its beginning.
        word: String,
        /// The most similar one that there is.
        nearest: &'static str,
    },
}

impl Code {
    /// A new one for a mailbox.
    pub(super) fn draw(nameplate: Nameplate) -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
        let number = u64::from_be_bytes(bytes);
        let words = std::array::from_fn(|at| {
            let word = usize::try_from(number >> (11 * at) & 0x7ff).expect("eleven bits");
            word_list()[word]
        });
        Self { nameplate, words }
    }

    /// Where the server has its mailbox.
    pub(super) fn nameplate(&self) -> Nameplate {
        self.nameplate
    }

    /// What the server must not learn.
    pub(super) fn password(&self) -> String {
        self.words.join("-")
    }
}

impl FromStr for Code {
    type Err = BadCode;

    /// Takes capitals, spaces for dashes, and words of which only the first four letters are there.
    fn from_str(text: &str) -> Result<Self, BadCode> {
        let text = text.to_lowercase();
        let mut parts = text.split(|c: char| c == '-' || c.is_whitespace()).filter(|part| !part.is_empty());
        let number = parts.next().ok_or(BadCode::Form)?;
        let words: Vec<&str> = parts.collect();
        let words: [&str; WORDS] = words.try_into().map_err(|_| BadCode::Form)?;
        let nameplate = number.parse().map_err(|_| BadCode::Number(shown(number)))?;
        let mut found = [""; WORDS];
        for (found, word) in found.iter_mut().zip(words) {
            *found = find(word).ok_or_else(|| BadCode::Word { word: shown(word), nearest: nearest(word) })?;
        }
        Ok(Self { nameplate, words: found })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.nameplate, self.password())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-***)", self.nameplate)
    }
}

/// The word of the list that this is, or is the beginning of.
fn find(typed: &str) -> Option<&'static str> {
    let at = word_list().partition_point(|&word| word < typed);
    let is_enough = typed.chars().count() >= UNIQUE_LETTERS;
    // In the order of the alphabet, a word comes before all that it is the beginning of.
    word_list().get(at).copied().filter(|&word| word == typed || is_enough && word.starts_with(typed))
}

/// The word of the list that takes the fewest changes of a letter, and of several the one that begins most alike.
fn nearest(typed: &str) -> &'static str {
    // Longer than any word: what follows makes no difference.
    let typed: Vec<char> = typed.chars().take(16).collect();
    let alike = |word: &str| word.chars().zip(&typed).take_while(|(one, other)| one == *other).count();
    let key = |word: &&&str| (distance(&typed, word), Reverse(alike(word)));
    word_list().iter().min_by_key(key).expect("the list is not empty")
}

/// Letters to be put in, taken out or replaced (Levenshtein's distance).
fn distance(one: &[char], other: &str) -> usize {
    let mut row: Vec<usize> = (0..=one.len()).collect();
    for (n, letter) in other.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n + 1);
        for at in 1..row.len() {
            let replaced = diagonal + usize::from(one[at - 1] != letter);
            diagonal = row[at];
            row[at] = replaced.min(row[at] + 1).min(row[at - 1] + 1);
        }
    }
    row[one.len()]
}

/// Not so much of it that it fills a screen.
fn shown(typed: &str) -> String {
    typed.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Result<String, BadCode> {
        text.parse::<Code>().map(|code| code.to_string())
    }

    #[test]
    fn what_is_drawn_reads_back() {
        for number in [1, 7, 999, 123_456] {
            let code = Code::draw(Nameplate::new(number).unwrap());
            assert_eq!(code.to_string().parse(), Ok(code.clone()));
            assert_eq!(format!("{code:?}"), format!("Code({number}-***)"), "words belong in no log");
        }
        let drawn = || Code::draw(Nameplate::new(1).unwrap());
        assert_ne!(drawn(), drawn());
    }

    #[test]
    fn reading_is_forgiving() {
        for text in [
            "7-apple-river-moon",
            "7 Apple RIVER moon",
            "  7 - apple -river- moon\n",
            "007-appl-rive-moon",
            "7-apple-river-moon-",
        ] {
            assert_eq!(code(text).as_deref(), Ok("7-apple-river-moon"), "{text:?}");
        }
        assert_eq!(code("1-act-acti-actu").as_deref(), Ok("1-act-action-actual"), "words that begin alike");
    }

    #[test]
    fn what_is_no_code_says_why() {
        for text in ["", "-", "7", "7-apple-river", "7-apple-river-moon-sun"] {
            assert_eq!(code(text), Err(BadCode::Form), "{text:?}");
        }
        for text in ["apple-river-moon-7", "0-apple-river-moon", "4294967296-apple-river-moon", "-1-a"] {
            assert!(matches!(code(text), Err(BadCode::Number(_) | BadCode::Form)), "{text:?}");
        }
        for (typed, meant) in [("aple", "apple"), ("appple", "apple"), ("app", "apple"), ("rivver", "river")] {
            let bad = code(&format!("7-{typed}-river-moon"));
            assert_eq!(bad, Err(BadCode::Word { word: typed.to_owned(), nearest: meant }));
        }
        let long = code(&format!("7-{}-river-moon", "ü".repeat(1_000))).unwrap_err();
        assert!(long.to_string().len() < 200, "{long}");
    }

    #[test]
    fn four_letters_are_enough_for_every_word() {
        for &word in word_list() {
            assert_eq!(find(word), Some(word));
            assert_eq!(find(&word[..word.len().min(UNIQUE_LETTERS)]), Some(word));
        }
    }
}
