//! Clients' certificates: who must show one, whose it may be, and which user it makes of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod folder;
mod tls;

use rcgen::{DnType, SanType};
use rustls::version::{TLS12, TLS13};
use tls::{Authority, Folder, Server, block, line, secure, shakes_hands};

#[test]
fn who_must_show_a_certificate_and_has_none_or_a_wrong_one_stays_out() {
    let server = Server::with_tls("ca_file: \"DIR/ca.pem\", verify: true", |ca| {
        ca.sign("good", &[(DnType::CommonName, "good")], Vec::new());
    });
    let rogue = Authority::new(&server.folder.0, "rogue");
    rogue.sign("bad", &[(DnType::CommonName, "good")], Vec::new());
    for version in [&TLS12, &TLS13] {
        let (mut client, info) = server.connect(server.config(&[version], Some("good")));
        assert!(info.contains("\"tls_required\":true,\"tls_verify\":true"), "{info}");
        client.sync();
        for certificate in [None, Some("bad")] {
            let mut plain = server.dial();
            line(&mut plain);
            assert!(!shakes_hands(plain, server.config(&[version], certificate)), "{certificate:?}");
        }
    }
    server.wait_for_nth_log("TLS handshake error: ", 4);
}

#[test]
fn a_key_that_is_not_pinned_stays_out() {
    let folder = Folder::new();
    let ca = Authority::new(&folder.0, "ca");
    ca.sign_server("server");
    let pin = ca.sign("pinned", &[], vec![SanType::DnsName("a".try_into().unwrap())]);
    ca.sign("other", &[], vec![SanType::DnsName("a".try_into().unwrap())]);
    let pin: String = pin.iter().map(|byte| format!("{byte:02X}")).collect();
    let more = format!("ca_file: \"DIR/ca.pem\", verify: true, pinned_certs: [ \"{pin}\" ]");
    drop(ca);
    let server = Server::start_in(folder, &block(&more));
    let (mut client, _) = server.connect(server.config(&[&TLS13], Some("pinned")));
    client.sync();
    let mut plain = server.dial();
    line(&mut plain);
    assert!(!shakes_hands(plain, server.config(&[&TLS13], Some("other"))));
    server.wait_for_log("TLS handshake error: the certificate is not among pinned_certs");
}

#[test]
fn without_ca_file_the_authorities_of_the_machine_sign_for_clients() {
    let folder = Folder::new();
    let client = [(DnType::CommonName, "c")];
    let ours = Authority::new(&folder.0, "ca");
    ours.sign_server("server");
    ours.sign("ours", &client, Vec::new());
    Authority::new(&folder.0, "other").sign("theirs", &client, Vec::new());
    let authorities = folder.0.join("ca.pem");
    let server = Server::start_with(folder, &block("verify: true"), |command| {
        command.env("SSL_CERT_FILE", authorities).env_remove("SSL_CERT_DIR");
    });
    for (name, good) in [("ours", true), ("theirs", false)] {
        let mut plain = server.dial();
        line(&mut plain);
        assert_eq!(shakes_hands(plain, server.config(&[&TLS12], Some(name))), good, "{name}");
    }
}

#[test]
fn a_certificate_says_which_user_it_is() {
    let config = block("ca_file: \"DIR/ca.pem\", verify_and_map: true")
        + "authorization { users: [
            { user: \"ann@example.com\", permissions: { publish: \"ann\" } }
            { user: \"www.example.com\", permissions: { publish: \"www\" } }
            { user: \"spiffe://example/x\", permissions: { publish: \"uri\" } }
            { user: \"CN=bob, OU=it, O=lunix\", permissions: { publish: \"bob\" } }
        ] }";
    let server = Server::start(&config, |ca| {
        let email = SanType::Rfc822Name("ann@example.com".try_into().unwrap());
        let dns = SanType::DnsName("www.example.com".try_into().unwrap());
        let uri = SanType::URI("spiffe://example/x".try_into().unwrap());
        ca.sign("ann", &[(DnType::CommonName, "eve")], vec![dns.clone(), email]);
        ca.sign("www", &[(DnType::CommonName, "eve")], vec![uri.clone(), dns]);
        ca.sign("uri", &[(DnType::CommonName, "eve")], vec![uri]);
        let [o, ou, cn] = [DnType::OrganizationName, DnType::OrganizationalUnitName, DnType::CommonName];
        ca.sign("bob", &[(o, "lunix"), (ou, "it"), (cn.clone(), "bob")], Vec::new());
        ca.sign("eve", &[(cn, "bob")], Vec::new());
    });
    for name in ["ann", "www", "uri", "bob"] {
        let (mut client, _) = server.connect(server.config(&[&TLS13], Some(name)));
        client.say(&format!("PUB {name} 0\n\nPUB other 0\n\nPING\n"));
        client.expect("-ERR 'Permissions Violation for Publish to \"other\"'\nPONG\n");
    }
    // A certificate that is nobody's is not made up for by a password, or by somebody's name.
    for connect in ["{}", "{\"user\":\"CN=bob, OU=it, O=lunix\",\"pass\":\"\"}"] {
        let mut plain = server.dial();
        line(&mut plain);
        let mut eve = secure(plain, server.config(&[&TLS13], Some("eve")));
        eve.say(&format!("CONNECT {connect}\n"));
        assert_eq!(eve.rest(), "-ERR 'Authorization Violation'\n");
    }
}

#[test]
fn of_several_users_a_certificate_is_the_one_that_is_most_like_it() {
    let config = block("ca_file: \"DIR/ca.pem\", verify_and_map: true")
        + "authorization { users: [
            { user: \"CN=bob\", permissions { publish: short } }
            { user: \"OU=it,O=lunix,CN=bob\", permissions { publish: it } }
            { user: \"O=lunix,OU=it,CN=bob\", permissions { publish: ti } }
        ] }";
    let server = Server::start(&config, |ca| {
        let domain = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]);
        let bob = (DnType::CommonName, "bob");
        let (o, ou) = ((DnType::OrganizationName, "lunix"), (DnType::OrganizationalUnitName, "it"));
        ca.sign("it", &[bob.clone(), o.clone(), ou.clone()], Vec::new());
        ca.sign("ti", &[bob.clone(), ou, o], Vec::new());
        // As in Go's names, the domain does not count where there is no user with it.
        ca.sign("short", &[bob, (domain, "net")], Vec::new());
    });
    for name in ["it", "ti", "short"] {
        let (mut client, _) = server.connect(server.config(&[&TLS13], Some(name)));
        client.say(&format!("PUB {name} 0\n\nPUB other 0\n\nPING\n"));
        client.expect("-ERR 'Permissions Violation for Publish to \"other\"'\nPONG\n");
    }
}
