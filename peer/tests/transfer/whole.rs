//! Files and folders arrive as they are, under names that are free.

use crate::support::{MIB, World, content, transfer, tree};
use std::{fs, os::unix::fs::PermissionsExt, time::SystemTime};

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_arrive_with_their_bytes() {
    let world = World::new();
    let sizes = [0, 1, 1_023, MIB - 1, MIB, MIB + 1, 5 * MIB + 77];
    let names: Vec<_> = sizes.iter().map(|size| format!("{size}.bin")).collect();
    for (name, size) in names.iter().zip(sizes) {
        world.file(name, size);
    }
    let offer = world.offer(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let received = transfer(&offer, &world).await;
    assert_eq!(received.places.len(), sizes.len());
    for ((name, size), place) in names.iter().zip(sizes).zip(&received.places) {
        assert_eq!(*place, world.to().join(name));
        assert!(fs::read(place).unwrap() == content(name, size), "{name}");
    }
    assert_eq!(world.arrived().len(), sizes.len(), "nothing else is left: {:?}", world.arrived());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_arrives_with_its_tree_times_and_modes() {
    let world = World::new();
    for (name, size) in [("trip/a.txt", 10), ("trip/deep/er/film.mkv", 3 * MIB), ("trip/deep/b", 0), ("trip/run", 5)] {
        world.file(name, size);
    }
    fs::create_dir_all(world.from("trip/empty/inner")).unwrap();
    fs::set_permissions(world.from("trip/run"), fs::Permissions::from_mode(0o700)).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_000_000_000_123);
    for name in ["trip/a.txt", "trip/deep/er/film.mkv", "trip/deep", "trip"] {
        fs::File::open(world.from(name)).unwrap().set_modified(long_ago).unwrap();
    }
    let received = transfer(&world.offer(&["trip"]).await, &world).await;
    assert_eq!(received.places, [world.to().join("trip")]);
    assert_eq!(tree(&world.to().join("trip")), tree(&world.from("trip")));
    assert!(world.to().join("trip/empty/inner").is_dir());
    let mode = |name: &str| fs::metadata(world.to().join(name)).unwrap().permissions().mode();
    assert_eq!((mode("trip/run") & 0o100, mode("trip/a.txt") & 0o111), (0o100, 0));
    for name in ["trip/a.txt", "trip/deep/er/film.mkv", "trip/deep", "trip"] {
        assert_eq!(fs::metadata(world.to().join(name)).unwrap().modified().unwrap(), long_ago, "{name}");
    }
    assert_eq!(world.arrived(), ["trip"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_never_replaced() {
    let world = World::new();
    world.file("film.mkv", 10);
    world.file("trip.2024/a", 10);
    let offer = world.offer(&["film.mkv", "trip.2024"]).await;
    fs::write(world.to().join("film.mkv"), "mine").unwrap();
    for number in [1, 2, 3] {
        let received = transfer(&offer, &world).await;
        let film = format!("film ({}).mkv", number + 1);
        let trip = if number == 1 { "trip.2024".to_owned() } else { format!("trip.2024 ({number})") };
        assert_eq!(received.places, [world.to().join(film), world.to().join(trip)]);
    }
    assert_eq!(fs::read(world.to().join("film.mkv")).unwrap(), b"mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_arrives() {
    let world = World::new();
    fs::create_dir(world.from("nothing")).unwrap();
    let received = transfer(&world.offer(&["nothing"]).await, &world).await;
    assert_eq!((received.files, received.bytes), (0, 0));
    assert!(world.to().join("nothing").is_dir());
}
