//! What tokens of accounts say of exports and imports.

use lunix_core::broker::AccountId;
use lunix_proto::json::Str;
use lunix_proto::nats::subject;
use lunix_proto::nkey::PublicKey;
use lunix_proto::nkey::claims::{self, Account, Body, Share};

use super::resolver::Accounts;
use super::signed::Signed;
use super::times;
use crate::natsd::auth::borders::{Sheet, is_within};
use crate::natsd::auth::grant::Responses;
use crate::natsd::settings::{Export, Import};

/// The sheets of all accounts that are known, and of those that they import from.
pub(super) fn sheets(accounts: &mut Accounts, mut number: impl FnMut(&PublicKey) -> AccountId) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let mut todo = accounts.known();
    let mut done = Vec::new();
    while let Some(key) = todo.pop() {
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let Some(sheet) = sheet(accounts, &key, number(&key), &mut todo) else { continue };
        sheets.push(sheet);
    }
    sheets
}

fn sheet(
    accounts: &mut Accounts,
    key: &PublicKey,
    account: AccountId,
    exporters: &mut Vec<PublicKey>,
) -> Option<Sheet> {
    let signed = accounts.find(key)?.clone();
    let Body::Account(claims) = signed.claims()?.body else { return None };
    let mut imports = Vec::new();
    for import in claims.imports {
        let Some(exporter) = import.account else { continue };
        exporters.push(exporter);
        let activated = is_activated(accounts, key, &exporter, &import);
        imports.extend(read_import(&import, &exporter, activated));
    }
    let exports = claims.exports.into_iter().filter_map(|export| read_export(&export)).collect();
    Some(Sheet { account, name: key.to_string(), exports, imports })
}

fn pattern(text: Str<'_>) -> Option<String> {
    Some(text.to_string()).filter(|text| subject::is_pattern(text.as_bytes()))
}

fn read_export(export: &claims::Export<'_>) -> Option<Export> {
    let service = match export.share {
        Share::Stream => false,
        Share::Service => true,
        Share::Unknown => return None,
    };
    let many = ["Stream", "Chunked"].iter().any(|kind| export.response_type.eq_str(kind));
    Some(Export {
        subject: pattern(export.subject)?,
        token_position: usize::try_from(export.account_token_position).ok().filter(|at| *at > 0),
        needs_activation: export.token_required,
        responses: if many { Responses { max: 0, ..Responses::USUAL } } else { Responses::USUAL },
        ..Export::new(service)
    })
}

fn read_import(import: &claims::Import<'_>, exporter: &PublicKey, activated: bool) -> Option<Import> {
    let service = match import.share {
        Share::Stream => false,
        Share::Service => true,
        Share::Unknown => return None,
    };
    let text = |text: Str<'_>| (!text.is_empty()).then(|| pattern(text));
    let (subject, local, to) = (pattern(import.subject)?, text(import.local_subject), text(import.to));
    // What is there and no pattern makes the import worthless.
    let (subject, to, prefix) = match (local, to, service) {
        (Some(local), _, _) => (subject, Some(local?), None),
        // The old way: of a service, the importer's subject stands first; of a stream, `to` is a prefix.
        (None, Some(to), true) => (to?, Some(subject), None),
        (None, Some(to), false) => (subject, None, Some(to?)),
        (None, None, _) => (subject, None, None),
    };
    Some(Import { service, account: exporter.to_string(), subject, to, prefix, activated })
}

/// Whether an import brings an activation that the exporter has given it, and not taken back.
fn is_activated(
    accounts: &mut Accounts,
    importer: &PublicKey,
    exporter: &PublicKey,
    import: &claims::Import<'_>,
) -> bool {
    if import.token.is_empty() {
        return false;
    }
    let Ok(signed) = Signed::read(&import.token.to_string()) else { return false };
    let Some(claims) = signed.claims() else { return false };
    let Body::Activation(activation) = claims.body else { return false };
    let Some(exporter_token) = accounts.find(exporter).cloned() else { return false };
    let Some(exporter_claims) = exporter_token.claims() else { return false };
    let Body::Account(account) = exporter_claims.body else { return false };
    claims.subject == *importer
        && is_issuer(&account, exporter, &claims.issuer, activation.issuer_account)
        && activation.share == import.share
        && is_within(&import.subject.to_string(), &activation.subject.to_string())
        && claims.hold_at(times::now())
        && !is_revoked(&account, import, importer, claims.issued_at)
}

/// Whether who has signed an activation may do so for the exporter.
fn is_issuer(account: &Account<'_>, exporter: &PublicKey, issuer: &PublicKey, of: Option<PublicKey>) -> bool {
    let signs = || issuer == exporter || account.signing_keys.into_iter().any(|key| key.key == *issuer);
    match of {
        None => issuer == exporter,
        Some(of) => of == *exporter && signs(),
    }
}

fn is_revoked(
    account: &Account<'_>,
    import: &claims::Import<'_>,
    importer: &PublicKey,
    issued_at: i64,
) -> bool {
    account.exports.into_iter().any(|export| {
        export.share == import.share
            && is_within(&import.subject.to_string(), &export.subject.to_string())
            && export.revocations.revoke(importer.text().as_str(), issued_at)
    })
}
