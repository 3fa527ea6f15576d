//! The settings as a whole.

use super::*;
use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::Path};

fn load(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
    let environment = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Settings::load(&Flags::default(), &environment)
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_defaults() {
    let environment = [("LISTEN", "127.0.0.1:1"), ("DATA_ROOT", "/a")].map(|(n, v)| (n.into(), v.into())).into();
    let flags = Flags { listen: Some("127.0.0.1:2".parse().unwrap()), ..Flags::default() };
    let settings = Settings::load(&flags, &environment).unwrap();
    assert_eq!(settings.listen.port(), 2);
    assert_eq!(settings.data_root, Path::new("/a"));
    assert_eq!(settings.certs_dir, Path::new("certs"));
}

#[test]
fn bad_values_name_the_setting_and_the_remedy() {
    let reason = |pair| load(&[pair]).unwrap_err().to_string();
    assert_eq!(reason(("BCRYPT_COST", "9")), "BCRYPT_COST=\"9\": expected 10 to 16");
    assert_eq!(reason(("BCRYPT_COST", "17")), "BCRYPT_COST=\"17\": expected 10 to 16");
    assert!(load(&[("BCRYPT_COST", "10")]).is_ok() && load(&[("BCRYPT_COST", "16")]).is_ok());
    assert!(load(&[("RESUMABLE_UPLOADS_DRAFT", "on")]).unwrap().resumable_uploads_draft);
    assert!(!load(&[("CODES", "off")]).unwrap().codes && load(&[]).unwrap().codes);
    assert!(reason(("RESUMABLE_UPLOADS_DRAFT", "yes")).ends_with("expected on or off"));
    assert_eq!(reason(("REGISTRATION", "yes")), "REGISTRATION=\"yes\": expected open or closed");
    assert!(reason(("MAX_FILE_SIZE", "17T")).ends_with("expected 1 to 16T"));
    assert!(reason(("MAX_RESERVED_PER_USER", "0")).ends_with("expected at least 1"));
    assert_eq!(load(&[("MAX_RESERVED_PER_USER", "40G")]).unwrap().max_reserved, Some(40 << 30));
    assert!(reason(("SECRET_KEY", "short")).contains("***"), "a secret was printed");
    assert!(load(&[("SECRET_KEY", &"k".repeat(31))]).is_err());
    assert!(load(&[("SECRET_KEY", &"k".repeat(32))]).is_ok());
    assert!(reason(("METRICS_TOKEN", "a token of more than 32 bytes with spaces")).contains("without spaces"));
    assert!(reason(("RELAY_LISTEN", "8444")).ends_with("expected an address with a port, or off"));
    assert_eq!(load(&[("RELAY_LISTEN", "off")]).unwrap().relay_listen, None);
    assert_eq!(load(&[("RELAY_CAPACITY", "200M")]).unwrap().relay_capacity, Some(25_000_000));
    assert!(reason(("RELAY_TOKEN", "short")).contains("***"), "a token was printed");
    assert!(load(&[("METRICS_TOKEN", &"t".repeat(32))]).unwrap().metrics_token.unwrap().is(&"t".repeat(32)));
    assert!(reason(("TLS_CERT", "/c.pem")).contains("set both"));
    let both = [("ACME_DOMAINS", "chat.example.org"), ("TLS_CERT", "/c.pem"), ("TLS_KEY", "/k.pem")];
    assert!(load(&both).unwrap_err().to_string().contains("set one of them"));
}

#[test]
fn a_variable_that_is_no_text_is_overlooked() {
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let variables = [(os(b"\xff"), os(b"1")), (os(b"ODD"), os(b"\xff")), (os(b"LOG"), os(b"debug"))];
    assert_eq!(utf8(variables), Environment::from([("LOG".to_owned(), "debug".to_owned())]));
}

#[test]
fn an_empty_value_is_no_value() {
    assert_eq!(load(&[("LISTEN", ""), ("SECRET_KEY", " ")]).unwrap(), Settings::default());
}

#[test]
fn the_secret_is_not_shown() {
    let shown = load(&[("SECRET_KEY", &"k".repeat(40)), ("MONGODB_URI", "mongodb://ann:kkk@db/")]).unwrap();
    assert!(!format!("{shown} {shown:?}").contains("kkk"));
    let objects = [("OBJECTS_URL", "s3://files"), ("OBJECTS_ACCESS_KEY", "kkk-a"), ("OBJECTS_SECRET_KEY", "kkk-s")];
    let shown = load(&objects).unwrap();
    assert!(!format!("{shown} {shown:?}").contains("kkk"));
    assert!(!load(&[("MONGODB_URI", "mongo://ann:kkk@db/")]).unwrap_err().to_string().contains("kkk"));
}

/// `.env.example` names every setting with its default, and nothing else.
#[test]
fn the_example_is_the_truth() {
    let example = include_str!("../../../.env.example");
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_uppercase()) => setting,
            _ => line,
        })
        .fold(String::new(), |text, line| text + line + "\n");
    let named = dotenv::parse(&uncommented).unwrap();
    let shown = Settings::default().to_string();
    let known: Vec<&str> = shown.lines().filter_map(|line| line.split('=').next()).collect();
    for name in &known {
        assert!(named.contains_key(*name), "{name} is missing in .env.example");
    }
    for name in named.keys() {
        assert!(known.contains(&name.as_str()), ".env.example names {name}, which is no setting");
    }
    assert_eq!(Settings::load(&Flags::default(), &named).unwrap(), Settings::default());
}
