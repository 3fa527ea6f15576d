//! What stands between a computer and fast transfers, told of a real server.

use crate::person::Person;
use hypersend_lab::{TestServer, Ways};
use std::fs;

#[tokio::test]
async fn everything_is_looked_at_and_nothing_is_left() {
    let server = TestServer::start().await;
    let ann = Person::registered("ann", server.socket_address()).await;
    let told = ann.run(["doctor"]).await.ok();
    let address = server.socket_address().to_string();
    assert!(told.starts_with(&format!("ok       server       {address} answers over QUIC in ")), "{told}");
    for what in ["certificate", "MTU", "mapping", "IPv6", "buffers", "offload", "AES", "disk", "limits"] {
        assert!(told.lines().any(|line| line.get(9..).is_some_and(|line| line.starts_with(what))), "{what}: {told}");
    }
    assert!(told.lines().last().unwrap().starts_with("verdict  "), "{told}");
    assert_eq!(fs::read_dir(ann.path("")).unwrap().count(), 0);

    let report = ann.run(["--json", "doctor", "--no-disk"]).await.json();
    assert!(report["certificate"].as_str().unwrap().starts_with("accepted: sha256:"), "{report:#}");
    assert!(report["quic"]["round_trip_us"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["quic"]["mtu"].as_u64().unwrap() >= 1_200, "{report:#}");
    assert_eq!(report["write_bytes_per_second"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_server_that_is_cut_off_is_a_failure_and_the_rest_is_told() {
    let server = TestServer::start().await;
    let ways = Ways::to(server.socket_address(), server.socket_address()).await;
    let ann = Person::registered("ann", ways.address()).await;
    ways.udp.cut();
    let report = ann.run(["--json", "doctor", "--no-disk"]).await.json();
    assert_eq!((&report["quic"]["answers"], &report["tcp"]["answers"]), (&false.into(), &true.into()), "{report:#}");
    let verdict = report["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("UDP"), "{verdict}");

    drop(server);
    let ended = ann.run(["doctor", "--no-disk"]).await;
    assert_eq!(ended.code, Some(5), "{ended:?}");
    // How fast that is depends on what else the machine does.
    assert!(ended.out.starts_with("failed   server") && ended.out.contains(" AES "), "{ended:?}");
    assert!(ended.err.contains("does not answer"), "{ended:?}");
}

#[tokio::test]
async fn without_a_login_it_knocks_and_looks_at_the_computer() {
    let server = TestServer::start().await;
    let nobody = Person::new("nobody");
    let ended = nobody.run(["doctor", "--no-disk"]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.out.contains("buffers") && ended.err.contains("not logged in"), "{ended:?}");

    let address = server.socket_address().to_string();
    let ended = nobody.run(["doctor", "--no-disk", "--server", &address]).await;
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.out.contains("failed   certificate") && ended.out.contains("sha256:"), "{ended:?}");

    // Somebody who has met it once, and is logged in elsewhere.
    let ann = Person::registered("ann", server.socket_address()).await;
    fs::remove_file(ann.config().join("credentials.json")).unwrap();
    let told = ann.run(["doctor", "--no-disk", "--server", &address]).await.ok();
    assert!(told.contains("relays       named only to who is logged in"), "{told}");
}
