//! Every statement that the backend runs finds its rows by an index, and is prepared once: the suite is run, what it
//! executes is recorded, and each statement's plan is looked at.

use super::{connection::open_writer, schema, tests::empty};
use crate::store::conformance;
use rusqlite::{
    Connection, StatementStatus,
    trace::{TraceEvent, TraceEventCodes},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Every statement run on any connection of this test program, and how often SQLite prepared it anew at most.
static RECORDED: Mutex<BTreeMap<String, i32>> = Mutex::new(BTreeMap::new());

/// The trait, for the number of its methods.
const TRAIT: &str = include_str!("../mod.rs");

/// A connection whose statements are recorded.
pub(super) fn recorded(mut db: Connection) -> Connection {
    let record = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            let again = statement.get_status(StatementStatus::RePrepare);
            let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
            let most = recorded.entry(statement.sql().into_owned()).or_default();
            *most = again.max(*most);
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
async fn every_statement_is_prepared_once_and_finds_its_rows_by_an_index() {
    conformance::run_all!(empty);
    let folder = tempfile::tempdir().unwrap();
    let mut db = open_writer(&folder.path().join("plans.db")).unwrap();
    schema::migrate(&mut db).unwrap();
    let mut recorded = RECORDED.lock().unwrap().clone();
    recorded.retain(|sql, _| on_tables(sql));
    let again: Vec<_> = recorded.iter().filter(|(_, again)| **again > 0).collect();
    assert!(again.is_empty(), "{again:#?}");
    let methods = TRAIT.matches("    async fn ").count();
    assert!(recorded.len() >= methods, "{} statements were recorded for {methods} methods", recorded.len());

    let scanning: Vec<_> =
        recorded.keys().map(|sql| (sql, scans(&db, sql))).filter(|(_, scans)| !scans.is_empty()).collect();
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
