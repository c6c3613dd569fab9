//! What it costs.

use super::*;

/// Prints what it costs from the call until the program has begun and ended, beside others in turn.
#[test]
#[ignore = "a measurement"]
fn what_a_process_costs() {
    let definition = service(&["/bin/true"]);
    let mut scored = definition.clone();
    scored.limits.oom_score = Some(0);
    let launched = |definition: &Definition| {
        let process = launch(&of(definition)).unwrap();
        let begun = Instant::now();
        wait(&process);
        begun
    };
    let command = || {
        let mut command = std::process::Command::new("/bin/true");
        let output = std::process::Stdio::piped;
        command.stdin(std::process::Stdio::null()).stdout(output()).stderr(output());
        command
    };
    let own = || launched(&definition);
    let copied = || launched(&scored);
    let posix = || {
        let mut child = command().spawn().unwrap();
        let begun = Instant::now();
        child.wait().unwrap();
        begun
    };
    let forked = || {
        let child = crate::sys::spawn::spawn(&mut command()).unwrap();
        let begun = Instant::now();
        waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).unwrap();
        begun
    };
    let ways: [(&str, &dyn Fn() -> Instant); 4] = [
        ("launch", &own),
        ("launch, with a copy", &copied),
        ("std: posix_spawn", &posix),
        ("std: fork, pre_exec", &forked),
    ];
    for megabytes in [0, 64] {
        let mut ballast = vec![0_u8; megabytes << 20];
        ballast.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..300 {
            for ((_, way), times) in ways.iter().zip(&mut times) {
                let start = Instant::now();
                let begun = way();
                times.push((begun - start, start.elapsed()));
            }
        }
        for ((name, _), mut times) in ways.iter().zip(times) {
            times.sort();
            let (call, _) = times[times.len() / 2];
            times.sort_by_key(|(_, whole)| *whole);
            let (_, whole) = times[times.len() / 2];
            println!(
                "{megabytes} MB more: {name}: call {call:?}, until it has ended {whole:?} (medians of 300)"
            );
        }
        std::hint::black_box(&ballast);
    }
}
