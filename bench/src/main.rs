//! `codec`: lunix's codecs beside those of other Rust crates, on one core, in one process. `route`: the broker without a
//! network. `broker`: natsd beside nats-server. `mqtt`: natsmqtt beside mosquitto and nats-server. `ws`: natsws beside
//! nats-server's own WebSockets. `hotplug`: natsdev beside other hotplug daemons. `init`: natsinit beside other supervisors.

mod broker;
mod hotplug;
mod init;
mod mqtt;
mod rounds;
mod route;
mod sockets;
mod streams;
mod tree;
mod uevents;
mod ws;

use lunix_proto::mqtt::Version;
use rounds::print;
use std::process::ExitCode;

/// A peer and lunix must see the same disturbances of the machine, so they take turns, this often.
const ROUNDS: usize = 25;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args[..] {
        [name] if name == "codec" => codec(),
        [name] if name == "route" => {
            let results: Vec<_> = route::messages().into_iter().map(|group| group.run(ROUNDS)).collect();
            print(&results);
            ExitCode::SUCCESS
        }
        [name, rest @ ..] if name == "broker" => done(broker::run(rest)),
        [name, rest @ ..] if name == "mqtt" => done(mqtt::run(rest)),
        [name, rest @ ..] if name == "hotplug" => done(hotplug::run(rest)),
        [name, rest @ ..] if name == "init" => done(init::run(rest)),
        [name, rest @ ..] if name == "ws" => done(ws::run(rest)),
        // What `broker` starts as a peer.
        [name, port] if name == "relay" => match port.parse() {
            Ok(port) => done(broker::relay(port)),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "lunix-bench: usage: lunix-bench codec | route | broker ... | mqtt ... | ws ... | hotplug ... | init ..."
    );
    ExitCode::from(2)
}

fn done(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lunix-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn codec() -> ExitCode {
    let mut groups = vec![streams::publishes(64 << 10), streams::publishes(1 << 20)];
    groups.extend([streams::messages(64 << 10), streams::messages(1 << 20)]);
    for version in [Version::V311, Version::V5] {
        groups.extend([mqtt::codec::decoded(version), mqtt::codec::written(version)]);
    }
    groups.extend([uevents::parsed(), uevents::read_whole()]);
    let mut results: Vec<_> = groups.into_iter().map(|group| group.run(ROUNDS)).collect();
    match sockets::messages() {
        Ok(group) => results.push(group.run(ROUNDS)),
        Err(error) => {
            eprintln!("lunix-bench: sockets: {error}");
            return ExitCode::FAILURE;
        }
    }
    print(&results);
    ExitCode::SUCCESS
}
