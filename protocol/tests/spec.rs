//! `docs/protocol.md` is held to the code: its tables are complete, and the golden frames are what its tables describe.

use crate::examples::{self, Example};
use cbor4ii::core::{Value, dec::Decode, utils::SliceReader};
use data_encoding::HEXLOWER;
use hypersend_protocol::{
    ALPN, DEFAULT_PORT,
    frame::MAX_SKIPPED,
    limit,
    refusal::ErrorCode,
    session::{AGENT_BYTES, FEATURES, VERSION},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

#[test]
fn every_frame_is_in_the_tables() {
    let written: BTreeSet<_> = section("Frames").into_iter().map(|row| [&row[..2], &row[3..]].concat()).collect();
    let code = examples::all().into_iter().map(|example| {
        let mut row = vec![format!("`{:#05x}`", example.kind.0), format!("`{}`", example.name())];
        row.extend([example.ceiling.to_string(), "1".to_owned()]);
        row.extend(example.answer.map(str::to_owned));
        row
    });
    assert_eq!(written, code.collect());
    assert_eq!((VERSION, FEATURES.len()), (1, 0), "write down what came since version 1");
}

#[test]
fn every_error_code_is_in_the_table() {
    let written: BTreeSet<_> = section("Error codes").into_iter().map(|row| row[..2].to_vec()).collect();
    let code = ErrorCode::ALL.iter().map(|&code| vec![u16::from(code).to_string(), format!("`{code}`")]);
    assert_eq!(written, code.collect());
}

#[test]
fn every_limit_is_in_the_table() {
    macro_rules! values {
        ($($name:ident)+) => { vec![$((stringify!($name), limit::$name.to_string())),+] };
    }
    let mut code = values! {
        MAX_RANGE_LENGTH MIN_CHUNK_SIZE MAX_CHUNKS MAX_FILE_SIZE MAX_VALUES_PER_PAGE MAX_FILE_NAME_BYTES MAX_EMAIL_BYTES
        MAX_DISPLAY_NAME_BYTES MAX_CHAT_TITLE_BYTES MAX_MESSAGE_BYTES MIN_PASSWORD_BYTES MAX_PASSWORD_BYTES
        MAX_TOKEN_BYTES MAX_REFUSAL_MESSAGE_BYTES MAX_FILES_PER_MESSAGE MAX_MEMBERS MAX_NEWCOMERS MAX_PAGE MAX_OPEN_UPLOADS
        MAX_OFFERED_FILES MAX_OPEN_OFFERS MAX_LISTING_ENTRIES MAX_ENTRIES_PER_PAGE MAX_LISTING_NAME_BYTES
        MAX_LISTING_DEPTH MAX_LISTING_PATH_BYTES MAX_SMALL_FILES
        MAX_SIGNAL_BYTES MAX_SIGNALS_AT_ONCE SIGNALS_PER_SECOND MAX_NAMEPLATE MAX_MAILBOXES
        MAX_MAILBOXES_PER_ADDRESS MAX_TUNNELS_PER_USER MAX_DATAGRAM_BYTES MAX_RELAYS MAX_LISTED_RELAYS
        MAX_RELAY_NAME_BYTES MAX_RELAY_HOST_BYTES MAX_RELAY_PORTS
    };
    code.push(("MAILBOX_LIFETIME", limit::MAILBOX_LIFETIME.as_secs().to_string()));
    code.push(("MAILBOX_UNCLAIMED_ABSENCE", limit::MAILBOX_UNCLAIMED_ABSENCE.as_secs().to_string()));
    code.push(("MAILBOX_SILENCE", limit::MAILBOX_SILENCE.as_secs().to_string()));
    code.push(("MAILBOX_ABSENCE", limit::MAILBOX_ABSENCE.as_secs().to_string()));
    code.push(("HELLO_TIMEOUT", limit::HELLO_TIMEOUT.as_secs().to_string()));
    let source = read("protocol/src/limit.rs");
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    assert_eq!(declared.collect::<BTreeSet<_>>(), code.iter().map(|(name, _)| *name).collect(), "limits of limit.rs");

    code.extend([("MAX_SKIPPED", MAX_SKIPPED.to_string()), ("AGENT_BYTES", AGENT_BYTES.to_string())]);
    let written: BTreeSet<_> = section("Limits").into_iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(written, code.into_iter().map(|(name, value)| vec![format!("`{name}`"), value]).collect());
}

#[test]
fn the_golden_frames_are_what_the_tables_describe() {
    let schema = Schema::of_the_document();
    for example in examples::all() {
        let body = Value::decode(&mut SliceReader::new(example.body())).expect("a golden body is CBOR");
        if let Err(wrong) = schema.check(&body, example.name()) {
            panic!("{}: {wrong}", example.label);
        }
    }
}

#[test]
fn the_text_names_the_token_the_port_and_true_bytes() {
    let document = read("docs/protocol.md");
    assert!(document.contains(&format!("token (RFC 7301) is `{}`", std::str::from_utf8(ALPN).unwrap())));
    assert!(document.contains(&format!("port is {DEFAULT_PORT} ")));
    let find_user = |example: &Example| example.name() == "FindUser";
    let example = examples::all().into_iter().find(find_user).expect("an example of FindUser");
    assert!(document.contains(&format!("\n{}\n", HEXLOWER.encode(&example.bytes))));
}

pub(crate) fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("read {path}: {e}"))
}

/// The rows of all tables of one section, without their heads.
pub(crate) fn section(heading: &str) -> Vec<Vec<String>> {
    let document = read("docs/protocol.md");
    let sections = document.split("\n## ");
    let text = sections.into_iter().find_map(|text| text.strip_prefix(heading)?.strip_prefix('\n'));
    let lines: Vec<_> = text.unwrap_or_else(|| panic!("no section {heading}")).lines().collect();
    let is_rule = |line: &str| line.starts_with("| ---");
    let is_row = |at: usize| lines[at].starts_with('|') && !is_rule(lines[at]);
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|line| is_rule(line));
    let rows = (0..lines.len()).filter(|&at| is_row(at) && !is_head(at));
    rows.map(|at| lines[at].trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The types that travel as text.
const TEXTS: [&str; 8] =
    ["text", "email", "display-name", "chat-title", "message-text", "file-name", "password", "token"];

type Fields = Vec<(String, String)>;

/// What the tables say about bytes.
struct Schema {
    /// Frames and records.
    maps: BTreeMap<String, Fields>,
    /// Enums, and the arms of each.
    enums: BTreeMap<String, BTreeMap<String, Fields>>,
}

impl Schema {
    fn of_the_document() -> Self {
        let bare = |cell: &str| cell.trim_matches('`').to_owned();
        let mut maps = BTreeMap::new();
        maps.extend(section("Frames").iter().map(|row| (bare(&row[1]), fields(&row[2]))));
        maps.extend(section("Records").iter().map(|row| (bare(&row[0]), fields(&row[1]))));
        let mut enums = BTreeMap::<_, BTreeMap<_, _>>::new();
        for row in section("Enums") {
            enums.entry(bare(&row[0])).or_default().insert(bare(&row[1]), fields(&row[2]));
        }
        Self { maps, enums }
    }

    fn check(&self, value: &Value, kind: &str) -> Result<(), String> {
        if let Some(inner) = kind.strip_suffix('?') {
            return if *value == Value::Null { Ok(()) } else { self.check(value, inner) };
        }
        let inner = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']'));
        let fits = match (value, kind) {
            (Value::Array(items), _) if inner.is_some() => {
                return items.iter().try_for_each(|item| self.check(item, inner.expect("just matched")));
            }
            (Value::Map(entries), _) if self.maps.contains_key(kind) => {
                return self.check_fields(entries, &self.maps[kind]);
            }
            (Value::Map(entries), _) if self.enums.contains_key(kind) => {
                let [(Value::Text(arm), Value::Map(entries))] = &entries[..] else {
                    return Err(format!("{value:?} is no arm of {kind}"));
                };
                let fields = self.enums[kind].get(arm).ok_or(format!("{kind} has no arm {arm}"))?;
                return self.check_fields(entries, fields);
            }
            (Value::Text(arm), _) if self.enums.contains_key(kind) => {
                self.enums[kind].get(arm).is_some_and(Vec::is_empty)
            }
            (Value::Integer(n), "u16") => u16::try_from(*n).is_ok(),
            (Value::Integer(n), "u32") => u32::try_from(*n).is_ok(),
            (Value::Integer(n), "u64" | "millis") => u64::try_from(*n).is_ok(),
            (Value::Bytes(bytes), "id") => bytes.len() == 16,
            (Value::Bytes(bytes), "hash") => bytes.len() == 32,
            (Value::Text(_), kind) => TEXTS.contains(&kind),
            (Value::Bytes(_), "bytes") | (Value::Bool(_), "bool") => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{value:?} is no {kind}")) }
    }

    fn check_fields(&self, entries: &[(Value, Value)], fields: &Fields) -> Result<(), String> {
        for (key, _) in entries {
            let known = fields.iter().any(|(name, _)| *key == Value::Text(name.clone()));
            if !known {
                return Err(format!("field {key:?} is not in its table"));
            }
        }
        for (name, kind) in fields {
            match entries.iter().find(|(key, _)| *key == Value::Text(name.clone())) {
                Some((_, value)) => self.check(value, kind).map_err(|wrong| format!("{name}: {wrong}"))?,
                None if kind.ends_with('?') => {}
                None => return Err(format!("field {name} is missing")),
            }
        }
        Ok(())
    }
}

/// Reads "`name` type, `name` type"; "none" has no names.
pub(crate) fn fields(cell: &str) -> Fields {
    let mut parts = cell.split('`').skip(1);
    let mut fields = Fields::new();
    while let (Some(name), Some(kind)) = (parts.next(), parts.next()) {
        fields.push((name.to_owned(), kind.trim_matches([' ', ',']).to_owned()));
    }
    fields
}
