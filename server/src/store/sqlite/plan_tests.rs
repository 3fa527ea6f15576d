//! Every statement that the backend runs finds its rows by an index: the suite is run, what it executes is recorded, and
//! each statement's plan is looked at.

use super::{connection::open_writer, schema, tests::empty};
use crate::store::conformance;
use rusqlite::{
    Connection,
    trace::{TraceEvent, TraceEventCodes},
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Every statement run on any connection of this test program.
static RECORDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The trait, for the number of its methods.
const TRAIT: &str = include_str!("../mod.rs");

/// A connection whose statements are recorded.
pub(super) fn recorded(mut db: Connection) -> Connection {
    let record = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            RECORDED.lock().unwrap_or_else(PoisonError::into_inner).insert(statement.sql().into_owned());
        }
    };
    db.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(record)).unwrap();
    db
}

/// Statements on the store's tables; the others are pragmas, transactions and the migrations.
fn on_tables(sql: &str) -> bool {
    ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb)) && !sql.contains("notes")
}

/// The steps of a statement's plan that look at every row of a table or an index.
fn scans(db: &Connection, sql: &str) -> Vec<String> {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = explain.raw_query().mapped(|row| row.get(3)).collect::<rusqlite::Result<Vec<String>>>().unwrap();
    steps.into_iter().filter(|step| step.starts_with("SCAN") && step != "SCAN CONSTANT ROW").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_finds_its_rows_by_an_index() {
    conformance::run_all!(empty);
    let folder = tempfile::tempdir().unwrap();
    let mut db = open_writer(&folder.path().join("plans.db")).unwrap();
    schema::migrate(&mut db).unwrap();
    let all = RECORDED.lock().unwrap().clone();
    let statements: Vec<&String> = all.iter().filter(|sql| on_tables(sql)).collect();
    let methods = TRAIT.matches("    async fn ").count();
    assert!(statements.len() >= methods, "{} statements were recorded for {methods} methods", statements.len());

    let scanning: Vec<_> =
        statements.into_iter().map(|sql| (sql, scans(&db, sql))).filter(|(_, scans)| !scans.is_empty()).collect();
    assert!(scanning.is_empty(), "{scanning:#?}");
}

#[test]
fn a_scan_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = open_writer(&folder.path().join("plans.db")).unwrap();
    schema::migrate(&mut db).unwrap();
    assert_eq!(scans(&db, "SELECT * FROM users WHERE name = ?1"), ["SCAN users"]);
    assert_eq!(scans(&db, "SELECT count(*) FROM members").len(), 1, "a covering index is a scan too");
    assert!(scans(&db, "SELECT * FROM users WHERE id = ?1").is_empty());
}
