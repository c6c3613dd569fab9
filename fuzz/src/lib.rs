//! Fuzz targets as plain functions: a target takes bytes and panics if it finds a fault.
//!
//! `cargo +nightly fuzz run NAME --features libfuzzer` looks for inputs that do, `cargo test` replays those of
//! `corpus/` on the stable compiler. To add a target `NAME`: a function in the module of its subject, a line in
//! [`TARGETS`], three lines in `fuzz_targets/NAME.rs`, a `[[bin]]` in `Cargo.toml`, seeds in `corpus/NAME/`.

pub mod accounts;
pub mod broker;
pub mod builtins;
pub mod config;
pub mod device;
pub mod json;
pub mod leaf;
pub mod machine;
pub mod mount;
pub mod mqtt;
pub mod mqtt_store;
pub mod nats;
pub mod nkey;
pub mod queue;
pub mod regex;
pub mod rules;
pub mod services;
pub mod session;
pub mod slots;
pub mod supervise;
pub mod toast;
pub mod uevent;
pub mod ws;

/// A target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("broker_accounts", accounts::ops),
    ("broker_stream", broker::stream),
    ("config_parse", config::parse),
    ("leaf_connect_info", leaf::connect_info),
    ("leaf_ops", leaf::ops),
    ("leaf_stream", leaf::stream),
    ("nkey_text", nkey::text),
    ("jwt_claims", nkey::claims),
    ("json_read", json::read),
    ("json_write", json::write),
    ("libudev_message", uevent::libudev_message),
    ("modalias_match", uevent::modalias_match),
    ("device_events", device::device_events),
    ("device_json", device::device_json),
    ("device_queue", queue::device_queue),
    ("hwdb_table", builtins::hwdb_table),
    ("hwdb_text", builtins::hwdb_text),
    ("input_bits", builtins::input_bits),
    ("usb_interfaces", builtins::usb_interfaces),
    ("partition_table", device::partition_table),
    ("volume_probe", device::volume_probe),
    ("machine_kmsg", machine::kmsg),
    ("machine_texts", machine::texts),
    ("mount_name", mount::name),
    ("mount_ops", mount::ops),
    ("mqtt_client_stream", mqtt::client_stream),
    ("mqtt_remap", mqtt::remap),
    ("mqtt_server_stream", mqtt::server_stream),
    ("mqtt_store_records", mqtt_store::records),
    ("mqtt_subject", mqtt::subject),
    ("nats_client_stream", nats::client_stream),
    ("nats_leaf_stream", nats::leaf_stream),
    ("nats_connect_info", nats::connect_info),
    ("nats_header", nats::header),
    ("nats_server_stream", nats::server_stream),
    ("regex_match", regex::matches),
    ("router_ops", broker::router_ops),
    ("rules_evaluate", rules::evaluate),
    ("rules_parse", rules::parse),
    ("session_ops", session::ops),
    ("services_files", services::files),
    ("services_toml", services::toml),
    ("services_units", services::units),
    ("slots_device_tree", slots::device_tree),
    ("slots_environment", slots::environment),
    ("slots_header", slots::header),
    ("slots_manifest", slots::manifest),
    ("slots_power", slots::power),
    ("subject_match", nats::subject_match),
    ("supervise_notices", supervise::notices),
    ("supervise_ops", supervise::ops),
    ("supervise_saved", supervise::saved),
    ("toast_json", toast::json),
    ("toast_ops", toast::ops),
    ("uevent_parse", uevent::parse),
    ("uevent_roundtrip", uevent::roundtrip),
    ("ws_client_stream", ws::client_stream),
    ("ws_server_stream", ws::server_stream),
];
