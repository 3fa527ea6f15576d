//! Networks that let no UDP through: the command says so, and works.

use crate::person::{Person, b3_of};
use hypersend_lab::{TestServer, Ways};

#[tokio::test]
async fn where_udp_is_blocked_tcp_takes_over_and_it_is_said() {
    let server = TestServer::start().await;
    let ways = Ways::to(server.socket_address(), server.socket_address()).await;
    let ann = Person::registered("ann", ways.address()).await;
    let status = ann.run(["status"]).await.ok();
    assert!(status.contains("over         QUIC"), "{status}");

    ways.udp.cut();
    let film = ann.file("film.mkv", 3_000_000);
    let sent = ann.run(["upload", "film.mkv"]).await;
    assert!(
        sent.err.contains("QUIC (UDP) does not get through to") && sent.err.contains("connected over TCP"),
        "{sent:?}"
    );
    let id = sent.ok();
    let quiet = ann.run(["--quiet", "download", &id, "-o", "copy.mkv"]).await;
    assert_eq!(quiet.err, "");
    assert_eq!(b3_of(&ann.path("copy.mkv")).await, b3_of(&film).await);

    let told = ann.run(["--transport", "tcp", "--json", "status"]).await;
    assert_eq!(told.err, "", "nobody is told what they asked for");
    assert_eq!(told.json()["connection"]["over"], "tcp");
    let refused = ann.run(["--transport", "quic", "--wait", "1", "whoami"]).await;
    assert!(refused.fails(5).contains("has not answered"));
}
