extern crate std;

use std::string::{String, ToString as _};
use std::vec::Vec;

use super::encode::Usage;
use super::kmsg::{Notice, notice};
use super::{Cpu, Hundredths, Load, Memory, Pressure, Resource, encode, proc};

#[test]
fn hostile_texts_say_nothing() {
    for text in [&b""[..], b"cpu", b"cpu ", b"cpu 1 2 3", b"cpu 1 2 3 x", b"cpu -1 2 3 4", &[0xFF; 4096]] {
        assert_eq!(proc::cpu(text), None);
        assert_eq!(proc::memory(text), Memory::default());
        assert_eq!(proc::load(text), None);
        assert_eq!(proc::pressure(text), Pressure::default());
        assert_eq!(notice(text), None);
    }
    assert_eq!(proc::memory(b"MemTotal: 18446744073709551615 kB\n").total, None);
    for load in [&b"1.0 1.00 1.00 1/2 3"[..], b"1.00 1.00 1.00 1", b"1.00 1.00 99999999999.00 1/2 3"] {
        assert_eq!(proc::load(load), None);
    }
    let part = b"some avg10=1.00 avg60=1.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    let read = proc::pressure(part);
    assert_eq!((read.some, read.full.map(|stall| stall.total)), (None, Some(7)));
}

#[test]
fn an_old_kernel_has_fewer_states() {
    let (cpu, count) = proc::cpu(b"cpu 1 2 3 4\ncpufreq 1\ncpu0 1 2 3 4\ncpu17 0 0 0 0\n").unwrap();
    assert_eq!((cpu, count), (Cpu { user: 1, nice: 2, system: 3, idle: 4, ..Cpu::default() }, 2));
}

#[test]
fn kills_are_understood_whatever_processes_are_called() {
    let chosen = b"6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
oom_memcg=/lunix/web,task_memcg=/lunix/web/a,b,task=x,pid=9,uid=1,pid=42,uid=0";
    assert_eq!(
        notice(chosen),
        Some(Notice::Chosen { pid: 42, comm: b"x,pid=9,uid=1", group: b"/lunix/web/a,b" })
    );
    let killed =
        b"3,5,6,-,caller=T1;Memory cgroup out of memory: Killed process 7 (a) total-vm:) total-vm:10kB, \
anon-rss:3kB, file-rss:1kB\n SUBSYSTEM=x";
    assert_eq!(
        notice(killed),
        Some(Notice::Killed { pid: 7, comm: b"a) total-vm:", everywhere: false, memory: Some(3 << 10) })
    );
    let sized = b"3,5,6,-;Out of memory (oom_kill_allocating_task): Killed process 7 (a) total-vm:1kB";
    assert_eq!(notice(sized), Some(Notice::Killed { pid: 7, comm: b"a", everywhere: true, memory: None }));
    for nothing in [
        &b"3,5,6,-;Out of memory: Killed process 0 (a) total-vm:1kB"[..],
        b"3,5,6,-;Out of memory: Killed process 99999999999 (a) total-vm:1kB",
        b"3,5,6,-;Out of memory: Killed process 7 a total-vm:1kB",
        b"3,5,6,-;xOut of memory: Killed process 7 (a) total-vm:1kB",
        b"8,5,6,-;Out of memory: Killed process 7 (a) total-vm:1kB",
        b"14,5,6,-;oom-kill:a,task_memcg=/,task=x,pid=1,uid=0",
        b"Out of memory: Killed process 7 (a) total-vm:1kB",
    ] {
        assert_eq!(notice(nothing), None, "{}", String::from_utf8_lossy(nothing));
    }
}

#[test]
fn decimals_are_numbers_of_json() {
    for (number, text) in
        [(0, "0.00"), (7, "0.07"), (52, "0.52"), (100, "1.00"), (1642, "16.42"), (u32::MAX, "42949672.95")]
    {
        let load = Load { averages: [Hundredths(number); 3], running: 1, threads: 2 };
        let mut out = [0; 512];
        let length = encode::usage(&mut out, &Usage { load: Some(load), ..Usage::default() }).unwrap();
        let said = String::from_utf8(out[..length].to_vec()).unwrap();
        assert!(said.contains(&["\"15\":", text, ","].concat()), "{said}");
    }
}

#[test]
fn what_is_too_long_says_how_long_it_is() {
    let pressure = [(Resource::Cpu, proc::pressure(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1"))];
    let usage = Usage { pressure: &pressure, cpu: Some((Cpu::default(), 0, 1)), ..Usage::default() };
    let needed = encode::usage(&mut [], &usage).unwrap_err().needed;
    let mut out: Vec<u8> = std::vec![0; needed];
    let length = encode::usage(&mut out, &usage).unwrap();
    assert!(length <= needed);
    // Without ticks there is no time.
    assert!(String::from_utf8_lossy(&out).contains(&"\"cpu\":{\"cpus\":1}".to_string()));
}
