//! One transfer that loses all it has, in turn: its relay is killed, its direct way is cut, its receiver is killed. It arrives.

use crate::stage::Stage;
use hypersend_lab::{Nat, fixtures::MIB};
use std::{env, time::Instant};

/// How large the file is, in MiB, where this is not in the environment: [`SIZE`].
const SIZE_VARIABLE: &str = "HYPERSEND_FAULTS_MIB";
const SIZE: u64 = 128;

/// What the links carry, in Mbit/s: the usual file lasts so long that each fault falls into it, and a larger one as long.
fn link(mib: u64) -> u32 {
    let mbit = mib.div_ceil(SIZE) * 60;
    u32::try_from(mbit.min(1_000)).unwrap()
}

#[test]
fn the_relay_the_direct_way_and_the_receiver_are_lost_in_turn() {
    let mib = env::var(SIZE_VARIABLE).map_or(SIZE, |size| size.parse().unwrap());
    let Some(mut stage) = Stage::set_with_relays(Nat::Cone, Nat::Cone, ["fra1", "fra2"], link(mib)) else { return };
    // For now there is no way but by relays.
    stage.lab.cut();
    let mut transfer = stage.send(mib * MIB);
    let used = transfer.goes("relay").unwrap();
    transfer.has(10);
    stage.kill_relay(&used);
    let killed = Instant::now();
    let other = transfer.goes("relay").unwrap();
    println!("{used} killed; over {other} after {:.1?}", killed.elapsed());
    assert_ne!(used, other);

    transfer.has(25);
    stage.lab.mend();
    let mended = Instant::now();
    transfer.goes("direct");
    println!("the direct way is there again, and taken after {:.1?}", mended.elapsed());
    transfer.has(50);
    stage.lab.cut();
    let cut = Instant::now();
    assert_eq!(transfer.goes("relay").unwrap(), other);
    println!("the direct way cut; over {other} after {:.1?}", cut.elapsed());

    transfer.has(70);
    transfer.kill_receiver(&stage);
    let killed = Instant::now();
    transfer.goes("relay");
    println!("the receiver killed with -9 and begun again; over {other} after {:.1?}", killed.elapsed());
    let outcome = transfer.end(&stage.lab);
    assert!(transfer.goes_on(), "the receiver began from nothing: {:?}", outcome.received);
}
