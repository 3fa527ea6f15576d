//! `docs/openapi.json` is what the code says. `HYPERSEND_BLESS=1 cargo test -p hypersend-server --test openapi` writes it
//! anew.

use std::{fs, path::Path};

#[test]
fn the_committed_document_is_the_code_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let now = hypersend_server::http::openapi().to_pretty_json().expect("the document is JSON") + "\n";
    if std::env::var_os("HYPERSEND_BLESS").is_some() {
        fs::write(&path, &now).expect("write docs/openapi.json");
    }
    let committed = fs::read_to_string(&path).expect("docs/openapi.json is committed");
    assert!(committed == now, "the API has changed: HYPERSEND_BLESS=1 writes docs/openapi.json anew");
}
