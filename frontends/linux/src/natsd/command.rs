//! The command line of `natsd`: that of nats-server, and our own.

use crate::cli::{Command, Flag, Hint, Style};

const fn switch(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: None, help, hint: Hint::None }
}

const fn valued(names: &'static [&'static str], value: &'static str, help: &'static str, hint: Hint) -> Flag {
    Flag { names, value: Some(value), help, hint }
}

/// The command line of `natsd`.
pub static COMMAND: Command = Command {
    name: "natsd",
    about: "NATS server for small machines",
    arguments: &[],
    flags: &[
        &[
            valued(&["addr", "a", "net"], "HOST", "listen on this address [127.0.0.1]", Hint::None),
            valued(&["port", "p"], "PORT", "listen on this port, -1 for any that is free [4222]", Hint::None),
            valued(
                &["socket"],
                "PATH",
                "listen on this UNIX socket, or 'none' [$XDG_RUNTIME_DIR/natsd.sock; root: /run/natsd.sock]",
                Hint::File,
            ),
            valued(&["name", "n", "server_name"], "NAME", "the server's name [its id]", Hint::None),
            valued(&["config", "c"], "FILE", "configuration file", Hint::File),
            switch(&["check-config", "t"], "check the configuration and exit"),
            valued(&["pid", "P"], "FILE", "write the process id to this file", Hint::File),
            valued(&["client_advertise"], "HOST[:PORT]", "the address that INFO names", Hint::None),
            valued(&["ports_file_dir"], "DIR", "write natsd_PID.ports to this folder", Hint::Folder),
            valued(
                &["signal", "sl"],
                "SIGNAL[=PID]",
                "send stop, quit, term, reopen, reload or ldm to the natsd that runs, or to a process id or pid file",
                Hint::None,
            ),
        ],
        &[
            valued(&["log", "l"], "FILE", "log to this file instead of stderr", Hint::File),
            switch(&["logtime", "T"], "log lines bear the time [true]; -T=false for none"),
            switch(&["logtime_utc"], "the time is UTC, which it always is"),
            switch(&["debug", "D"], "log when connections come and go, and why"),
            switch(&["trace", "V"], "log what clients say"),
            switch(&["DV"], "both"),
            switch(&["VV"], "as --trace"),
            switch(&["DVV"], "as -DV"),
        ],
        &[
            valued(
                &["http_port", "m", "http"],
                "PORT",
                "tell about the server over HTTP on this port, -1 for any that is free",
                Hint::None,
            ),
            valued(&["https_port", "ms"], "PORT", "monitor over HTTPS on this port", Hint::None),
            valued(&["user"], "USER", "the one user who may connect, with --pass", Hint::None),
            valued(&["pass"], "PASSWORD", "the user's password, plain or as a hash of bcrypt", Hint::None),
            valued(
                &["auth"],
                "TOKEN",
                "who knows this may connect; plain or as a hash of bcrypt",
                Hint::None,
            ),
            switch(&["tls"], "clients must speak TLS; needs --tlscert and --tlskey"),
            switch(&["tlsverify"], "as --tls; clients must show a certificate, which needs --tlscacert"),
            valued(&["tlscert"], "FILE", "the server's certificate, in PEM", Hint::File),
            valued(&["tlskey"], "FILE", "its key, in PEM", Hint::File),
            valued(&["tlscacert"], "FILE", "those who sign clients' certificates, in PEM", Hint::File),
        ],
        &[
            valued(
                &["routes", "cluster", "cluster_listen"],
                "URL",
                "natsd has no clusters; it joins one as a leaf node",
                Hint::None,
            ),
            valued(
                &["cluster_name", "cluster_advertise", "connect_retries"],
                "WORD",
                "without meaning without a cluster",
                Hint::None,
            ),
            switch(&["no_advertise"], "without meaning without a cluster"),
            switch(
                &["jetstream", "js"],
                "natsd has no JetStream; as a leaf node it reaches that of a cluster",
            ),
            valued(&["store_dir", "sd"], "DIR", "without meaning without JetStream", Hint::Folder),
            switch(&["syslog", "s"], "natsd has no syslog; log to stderr, and let the supervisor collect it"),
            valued(&["remote_syslog", "r"], "ADDR", "natsd has no syslog", Hint::None),
            valued(
                &["log_size_limit"],
                "SIZE",
                "without meaning: move the log away, and say --signal reopen",
                Hint::None,
            ),
            valued(&["max_traced_msg_len"], "BYTES", "without meaning: payloads are not logged", Hint::None),
            valued(&["profile"], "PORT", "natsd has no profiling over HTTP; perf(1) works", Hint::None),
        ],
        &[
            switch(&["help", "h"], "show this help and exit"),
            switch(&["version", "v"], "show the version and exit"),
        ],
    ],
    of: None,
    style: Style::Go,
    details: &[
        "Flags are those of nats-server, with one dash or two. A client on the UNIX socket is faster than one on \
         TCP. Nothing happens while nothing happens: an idle server makes no system call.",
        "The configuration file has nats-server's syntax (blocks, lists, include, $VARIABLES) and its keys: host, \
         port, listen, client_advertise, server_name, server_tags, max_payload, max_control_line, max_connections, max_subscriptions, max_pending, write_deadline, no_fast_producer_stall, \
         ping_interval, ping_max, no_header_support, pid_file, ports_file_dir, log_file, logtime, debug, trace, \
         lame_duck_duration, lame_duck_grace_period, http, http_port, http_base_path, max_closed_clients; and our own: socket, max_pending_all (what may wait for all clients together), busy_poll (for how long it looks for the next message before it sleeps; at most 1ms).",
        "Who may connect: authorization with users, passwords (plain or bcrypt), token, nkeys and permissions; accounts; \
         no_auth_user; operator, trusted_keys, resolver and resolver_preload for NATS 2 tokens. Processes of this machine \
         need no credentials where none are configured: they are known by their uid, on the UNIX socket and over \
         loopback TCP. Root and the user that natsd runs as may do everything; others read events, use toasts and \
         process queries, and have user.NAME.> for themselves. Clients from elsewhere are refused.",
        "identity { desktop: NAME, users { NAME { publish: .. subscribe: .. } * { .. } }, groups { NAME { .. } }, \
         others { .. } } changes that: the rule of a user, of the first group that it is in, of everybody (*), and of \
         clients from elsewhere. A rule is a block of permissions, all or none; {{name()}} and {{uid()}} in it stand for \
         the user. The desktop's user may publish to wm.exec. 'identity: on' knows users by uid also where credentials \
         are configured, 'identity: off' nowhere.",
        "SIGHUP reads the configuration file again: each change is logged, and if there is a mistake, or a change that \
         needs a new start, nothing changes. SIGUSR1 opens the log file anew. SIGUSR2 is lame duck mode: nobody new \
         comes in, clients are told, and closed one after the other.",
        "Clients on this machine are not pinged unless ping_interval is set: the kernel reports their death.",
    ],
    commands: &[],
    examples: &[
        ("natsd", "on 127.0.0.1:4222 and the UNIX socket"),
        ("natsd -p -1 --ports_file_dir /tmp", "on any port; the file says which"),
        ("natsd -c natsd.conf -DV", "with a configuration, saying all that it does"),
        ("natsd --signal reload", "makes the natsd that runs read its configuration again"),
        ("natsd --signal term=/run/natsd.pid", "stops the one with that pid file"),
    ],
};
