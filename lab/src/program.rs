//! Where the programs of this workspace are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// What `hypersend-server` is built from.
const SERVER_SOURCES: [&str; 5] = ["server", "transfer", "net", "relay", "protocol"];

/// What `hypersend-relay` is built from.
const RELAY_SOURCES: [&str; 2] = ["relay", "protocol"];

/// The `hypersend-server` beside this test, built first when it is missing or older than its sources. The variable
/// `HYPERSEND_LAB_SERVER` names another one.
pub fn server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(|| match env::var_os("HYPERSEND_LAB_SERVER") {
        Some(path) => path.into(),
        None => beside_this_test("hypersend-server", &SERVER_SOURCES),
    })
}

/// The `hypersend-relay` beside this test, likewise. The variable `HYPERSEND_LAB_RELAY` names another one.
pub fn relay() -> &'static Path {
    static RELAY: OnceLock<PathBuf> = OnceLock::new();
    RELAY.get_or_init(|| match env::var_os("HYPERSEND_LAB_RELAY") {
        Some(path) => path.into(),
        None => beside_this_test("hypersend-relay", &RELAY_SOURCES),
    })
}

fn beside_this_test(name: &str, sources: &[&str]) -> PathBuf {
    let dir = profile_dir();
    let program = dir.join(name);
    let built = fs::metadata(&program).and_then(|metadata| metadata.modified());
    if !built.is_ok_and(|built| built >= newest_source(sources)) {
        build(&dir, name);
    }
    assert!(program.exists(), "cargo built no {}", program.display());
    program
}

/// `target/debug` or its like: tests live in `deps` below it, programs in itself.
fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    let dir = test.parent().expect("a program is in a folder");
    match dir.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => dir.parent().expect("cargo puts them below the profile's folder").to_owned(),
        _ => dir.to_owned(),
    }
}

fn newest_source(sources: &[&str]) -> SystemTime {
    let workspace = workspace();
    let newest = sources.iter().filter_map(|name| newest_in(&workspace.join(name).join("src")));
    newest.max().expect("the workspace has sources")
}

fn newest_in(dir: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(dir).ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => newest_in(&entry.path()),
            _ => entry.metadata().and_then(|metadata| metadata.modified()).ok(),
        })
        .max()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn build(profile_dir: &Path, name: &str) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => panic!("{} is no folder of a cargo profile; build {name} first", profile_dir.display()),
    };
    eprintln!("lab: building {name}, which is missing or older than its sources");
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", name, "--profile", profile, "--target-dir"]);
    build.arg(profile_dir.parent().expect("a profile's folder is in the target folder")).current_dir(workspace());
    let status = build.status().expect("run cargo");
    assert!(status.success(), "{name} does not build; run: cargo build -p {name}");
}
