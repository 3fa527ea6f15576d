//! `docs/openapi.json` is what the code says. `HYPERSEND_BLESS=1 cargo test -p hypersend-server --test openapi` writes it
//! anew.

use hypersend_server::http::openapi;
use std::{collections::HashSet, fs, path::Path};

#[test]
fn the_committed_document_is_the_code_s() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let now = openapi().to_pretty_json().expect("the document is JSON") + "\n";
    if std::env::var_os("HYPERSEND_BLESS").is_some() {
        fs::write(&path, &now).expect("write docs/openapi.json");
    }
    let committed = fs::read_to_string(&path).expect("docs/openapi.json is committed");
    assert!(committed == now, "the API has changed: HYPERSEND_BLESS=1 writes docs/openapi.json anew");
}

/// Requests that change something and have nothing to say beyond their path.
const WITHOUT_BODY: [&str; 2] = ["/api/v1/auth/logout", "/api/v1/events/tickets"];

#[test]
fn every_body_is_described() {
    for (path, item) in openapi().paths.paths {
        for operation in [item.post, item.put, item.patch].into_iter().flatten() {
            assert_eq!(operation.request_body.is_none(), WITHOUT_BODY.contains(&&path[..]), "{path}");
        }
    }
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let mut names = HashSet::new();
    for (path, item) in openapi().paths.paths {
        for operation in [item.get, item.post, item.put, item.patch, item.delete].into_iter().flatten() {
            let name = operation.operation_id.expect("a name");
            assert!(names.insert(name.clone()), "{name} of {path} is another's");
        }
    }
}
