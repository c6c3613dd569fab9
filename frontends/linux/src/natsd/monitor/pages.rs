//! What is where over HTTP.

use super::connz::{self, Subs, Which};
use super::query::{Target, Wrong};
use super::report::{AccountFilter, PATHS, Wish};
use super::subsz;

/// What a path is.
#[derive(Debug)]
pub(super) enum Page {
    /// Links to all others.
    Root,
    Healthz,
    Report(Wish),
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Refusal {
    NotFound,
    Wrong(String),
}

impl From<Wrong> for Refusal {
    fn from(Wrong(text): Wrong) -> Self {
        Self::Wrong(text)
    }
}

/// Finds the page that `target` asks for below `base`, and the index of its path in [`PATHS`].
///
/// # Errors
/// There is none, or its parameters are wrong.
pub(super) fn page(target: Target<'_>, base: &str) -> Result<(usize, Page), Refusal> {
    let path = target.path.strip_prefix(base).ok_or(Refusal::NotFound)?;
    let path = match path {
        "" => "/",
        "/subscriptionsz" => "/subsz",
        path => path,
    };
    let index = PATHS.iter().position(|known| *known == path).ok_or(Refusal::NotFound)?;
    let wish = match path {
        "/" => return Ok((index, Page::Root)),
        "/healthz" => {
            // There is no JetStream whose health could be asked for.
            for key in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only", "details"] {
                target.truth(key)?;
            }
            return Ok((index, Page::Healthz));
        }
        "/varz" => Wish::Varz,
        "/connz" => Wish::Connz(connz(target)?),
        "/subsz" => Wish::Subsz(subsz(target)?),
        "/routez" => Wish::Routez,
        "/leafz" => Wish::Leafz,
        "/gatewayz" => Wish::Gatewayz,
        "/accountz" => Wish::Accountz(target.text("acc").into_owned()),
        "/accstatz" => {
            let accounts = Some(target.text("acc").into_owned()).filter(|name| !name.is_empty());
            Wish::Accstatz(AccountFilter {
                accounts: accounts.into_iter().collect(),
                unused: target.truth("unused")?,
            })
        }
        _ => Wish::Jsz,
    };
    Ok((index, Page::Report(wish)))
}

/// A number that is not negative; what is negative counts as 0.
fn natural(target: Target<'_>, key: &str) -> Result<usize, Wrong> {
    Ok(usize::try_from(target.integer(key)?).unwrap_or(0))
}

fn connz(target: Target<'_>) -> Result<connz::Options, Wrong> {
    let subs = match &*target.text("subs") {
        text if text.eq_ignore_ascii_case("detail") => Subs::Detail,
        _ if target.truth("subs")? => Subs::Subjects,
        _ => Subs::None,
    };
    let state = match &*target.text("state").to_ascii_lowercase() {
        "" | "open" => Which::Open,
        "closed" => Which::Closed,
        "any" | "all" => Which::All,
        _ => return Err(Wrong(format!("Error decoding state for {}", target.text("state")))),
    };
    let text = |key| target.text(key).into_owned();
    Ok(connz::Options {
        sort: text("sort"),
        auth: target.truth("auth")?,
        subs,
        offset: natural(target, "offset")?,
        limit: natural(target, "limit")?,
        cid: target.number("cid")?,
        state,
        user: text("user"),
        account: text("acc"),
        mqtt_client: text("mqtt_client"),
        filter_subject: text("filter_subject"),
    })
}

fn subsz(target: Target<'_>) -> Result<subsz::Options, Wrong> {
    Ok(subsz::Options {
        subs: target.truth("subs")?,
        offset: natural(target, "offset")?,
        limit: natural(target, "limit")?,
        account: target.text("acc").into_owned(),
        test: target.text("test").into_owned(),
    })
}

/// The root's page.
pub(super) fn root(base: &str) -> String {
    let mut page =
        String::from("<!DOCTYPE html><html lang=\"en\"><title>natsd</title><body><h1>natsd</h1><ul>");
    for path in PATHS.iter().skip(1) {
        page += &format!("<li><a href=\"{base}{path}\">{}</a></li>", path.trim_start_matches('/'));
    }
    page + "</ul></body></html>"
}
