//! What `hypersend doctor` says behind each kind of NAT.

use crate::stage::{Stage, until};
use hypersend_lab::{
    Nat,
    nat::{MiniUpnp, PortMapper, Speaks},
};
use serde_json::Value;

/// What is said of one thing.
fn finding<'a>(report: &'a Value, what: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("nothing of {what}: {report:#}"))
}

fn says(report: &Value, what: &str, outcome: &str, text: &str) {
    let finding = finding(report, what);
    let said = finding["says"].as_str().unwrap();
    assert!(finding["outcome"] == outcome && said.contains(text), "{finding:#}");
}

/// What Ann's doctor finds who is behind such a NAT.
fn behind(nat: Nat) -> Option<(Stage, Value)> {
    let stage = Stage::set(nat, Nat::Open)?;
    let report = stage.doctor(&["--no-disk"]);
    Some((stage, report))
}

/// It sees this side's outside address, and knows how the NAT maps.
fn is_seen_as(nat: Nat, kind: &str) -> Option<Value> {
    let (stage, report) = behind(nat)?;
    assert_eq!(report["nat"]["kind"], kind, "{report:#}");
    for observed in report["nat"]["observed"].as_array().unwrap() {
        let (ip, _) = observed.as_str().unwrap().split_once(':').unwrap();
        assert_eq!(ip, stage.lab.a.outside_ip().to_string(), "{report:#}");
    }
    for way in ["quic", "tcp"] {
        assert_eq!(report[way]["answers"], true, "{report:#}");
    }
    assert_eq!(report["relays"].as_array().unwrap().len(), 1, "{report:#}");
    for view in report["relays"][0]["views"].as_array().unwrap() {
        assert_eq!(view["asked"], view["answered"], "{report:#}");
    }
    says(&report, "server", "ok", "over QUIC");
    Some(report)
}

#[test]
fn in_the_open_there_is_none() {
    let Some(report) = is_seen_as(Nat::Open, "open") else { return };
    says(&report, "NAT", "ok", "none");
    says(&report, "mapping", "ok", "not needed");
    assert!(report["verdict"].as_str().unwrap().starts_with("files go directly"), "{report:#}");
}

#[test]
fn a_cone_is_one_whatever_it_lets_in() {
    for nat in [Nat::Cone, Nat::Restricted] {
        let Some(report) = is_seen_as(nat, "cone") else { return };
        says(&report, "NAT", "ok", "direct with everybody");
        assert_eq!(report["nat"]["observed"].as_array().unwrap().len(), 1, "{report:#}");
    }
}

#[test]
fn a_symmetric_one_comes_with_what_to_do() {
    let Some(report) = is_seen_as(Nat::Symmetric, "symmetric") else { return };
    says(&report, "NAT", "warning", "over a relay with symmetric ones");
    assert!(finding(&report, "NAT")["remedy"].as_str().unwrap().contains("UPnP"), "{report:#}");
    assert_eq!(report["mapping"], Value::Null);
}

#[test]
fn a_router_that_maps_makes_up_for_a_symmetric_one() {
    let Some(stage) = Stage::set(Nat::Symmetric, Nat::Open) else { return };
    for (speaks, protocol) in [(Speaks::Pcp, "PCP"), (Speaks::NatPmp, "NAT-PMP")] {
        let router = PortMapper::start(&stage.lab.a, speaks, 300);
        let report = stage.doctor(&["--no-disk"]);
        assert_eq!((&report["nat"]["kind"], &report["mapping"]["protocol"]), (&"symmetric".into(), &protocol.into()));
        assert_eq!(report["mapping"]["seconds"], 300, "{report:#}");
        let outside = report["mapping"]["outside"].as_str().unwrap();
        assert!(outside.starts_with(&stage.lab.a.outside_ip().to_string()), "{outside}");
        says(&report, "NAT", "ok", "makes up for it");
        assert!(router.mapped().is_empty(), "what was tried is still there");
    }
}

#[test]
fn a_router_behind_another_nat_is_found_out() {
    let Some(stage) = Stage::set(Nat::Symmetric, Nat::Open) else { return };
    let Some(router) = MiniUpnp::start(&stage.lab.a, false) else { return };
    until("a router that listens", || router.listens());
    let report = stage.doctor(&["--no-disk"]);
    assert_eq!(report["mapping"]["protocol"], "UPnP", "{report:#}");
    assert!(report["mapping"]["outside"].as_str().unwrap().starts_with(&MiniUpnp::OUTSIDE.to_string()), "{report:#}");
    says(&report, "mapping", "warning", "another NAT behind the router");
    says(&report, "NAT", "warning", "over a relay with symmetric ones");
}

#[test]
fn where_udp_is_blocked_what_follows_is_said() {
    let Some((_stage, report)) = behind(Nat::UdpBlocked) else { return };
    assert_eq!((&report["quic"]["answers"], &report["tcp"]["answers"]), (&false.into(), &true.into()), "{report:#}");
    assert_eq!(report["nat"]["kind"], "blocked", "{report:#}");
    says(&report, "server", "warning", "UDP is blocked on the way");
    assert!(finding(&report, "server")["remedy"].as_str().unwrap().contains("goes through the server"), "{report:#}");
    says(&report, "relay", "warning", "does not answer");
    assert!(report["verdict"].as_str().unwrap().starts_with("UDP does not get through"), "{report:#}");
}
