use std::fs; use std::path::Path;
#[test]
fn timing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for want in ["router_ops", "device_events", "broker_accounts", "leaf_ops"] {
        let (name, target) = lunix_fuzz::TARGETS.iter().find(|(n, _)| *n == want).unwrap();
        let inputs: Vec<Vec<u8>> = fs::read_dir(root.join("corpus").join(name)).unwrap().map(|e| fs::read(e.unwrap().path()).unwrap()).collect();
        let t = || { let s = fs::read_to_string("/proc/self/stat").unwrap(); s.rsplit(") ").next().unwrap().split(' ').nth(11).unwrap().parse::<u64>().unwrap() };
        let begin = t();
        for _ in 0..5 { inputs.iter().for_each(|i| target(i)); }
        println!("TIMING {name}: {} inputs, {} bytes, {} ticks", inputs.len() * 5, inputs.iter().map(Vec::len).sum::<usize>() * 5, t() - begin);
    }
}
