//! What Linux says of the machine, and records of its log.

use lunix_core::machine::encode::{self, Storage, Usage, Victim};
use lunix_core::machine::kmsg::{Notice, notice};
use lunix_core::machine::{Resource, proc};
use lunix_core::time::Instant;

/// Texts are read, and what was read is told in JSON that everybody else reads, in exactly the room that it asks for.
pub fn texts(data: &[u8]) {
    let read = proc::pressure(data);
    let pressure = [(Resource::Io, read)];
    let storage = [Storage { target: data, fstype: data, size: u64::MAX, available: 0, read_only: true }];
    let usage = Usage {
        cpu: proc::cpu(data).map(|(cpu, count)| (cpu, 100, count)),
        memory: proc::memory(data),
        load: proc::load(data),
        pressure: &pressure,
        storage: &storage,
        ..Usage::default()
    };
    told(|out| encode::usage(out, &usage));
    told(|out| encode::pressure(out, Some("a"), Resource::Cpu, &read, Instant::default()));
    let _ = proc::flat(data, b"oom_kill");
    if let Some(load) = usage.load {
        let text = String::from_utf8_lossy(data);
        let first: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
        assert!((first * 100.0 - f64::from(load.averages[0].0)).abs() < 0.01);
    }
}

/// Only the kernel can say that somebody was killed, and it says who.
pub fn kmsg(data: &[u8]) {
    let Some(said) = notice(data) else { return };
    let text = String::from_utf8_lossy(data);
    let (priority, _) = text.split_once(',').unwrap();
    assert!(priority.parse::<u32>().unwrap() < 8);
    let (pid, comm) = match said {
        Notice::Chosen { pid, comm, group } => {
            assert!(data.windows(group.len().max(1)).any(|window| group.is_empty() || window == group));
            (pid, comm)
        }
        Notice::Killed { pid, comm, .. } => (pid, comm),
    };
    assert!(pid > 0 && text.contains(&pid.to_string()));
    assert!(comm.is_empty() || data.windows(comm.len()).any(|window| window == comm));
    told(|out| encode::oom(out, &Victim { pid: Some(pid), comm, ..Victim::default() }));
}

fn told(encode: impl Fn(&mut [u8]) -> Result<usize, lunix_proto::Full>) {
    let needed = encode(&mut []).unwrap_err().needed;
    let mut out = vec![0; needed];
    let length = encode(&mut out).unwrap();
    let _: serde_json::Value = serde_json::from_slice(&out[..length]).unwrap();
}
