//! The page: the one in the program, or the files of a folder.
//!
//! In the program there is what gzip makes of the page and nothing else: the text would be 80 KB more, what brotli makes of
//! it 25 KB, which would save 4.6 KB the first time a browser comes.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::request::{Answer, Request};

/// The largest file of a folder that is served.
const MAX_FILE: u64 = 16 << 20;

/// The largest file of the program, uncompressed.
const MAX_TEXT: usize = 1 << 20;

/// What the pages may do: nothing from elsewhere, nothing written into them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the program: its name, and its text as gzip compresses it.
struct File {
    name: &'static str,
    compressed: &'static [u8],
}

impl File {
    /// The text. gzip's head has ten bytes where no name is in it, and its end has eight (RFC 1952, 2.3).
    fn text(&self) -> Option<Vec<u8>> {
        let end = self.compressed.len().checked_sub(8)?;
        miniz_oxide::inflate::decompress_to_vec_with_limit(self.compressed.get(10..end)?, MAX_TEXT).ok()
    }

    /// Another one where the text is another: its checksum and length, as gzip says them.
    fn tag(&self) -> String {
        let end = self.compressed.last_chunk().copied().unwrap_or_default();
        format!("{:x}", u64::from_le_bytes(end))
    }
}

/// What is in the folder `page`; the list is made by `build.rs`.
const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What is served beside the WebSocket.
#[derive(Clone, Debug, Default)]
pub(super) enum Page {
    /// The one in the program.
    #[default]
    Own,
    /// The files of this folder, `NAME.br` and `NAME.gz` in place of `NAME` for who understands them.
    Folder(PathBuf),
}

impl Page {
    /// What a request for a page is answered.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Answer::new(405, "expected GET").with("Allow", "GET, HEAD");
        }
        let Some(name) = name(&request.path) else { return Answer::new(404, "no such page") };
        let codings = request.field("accept-encoding").unwrap_or_default();
        let found = match self {
            Self::Own => Found::own(&name, codings),
            Self::Folder(folder) => Found::of_folder(folder, &name, codings),
        };
        let Some(Found { body, coding, tag }) = found else { return Answer::new(404, "no such page") };
        let tag = format!("\"{tag}{}{coding}\"", if coding.is_empty() { "" } else { "-" });
        let answer = match request.field("if-none-match").is_some_and(|known| names(known, &tag)) {
            true => Answer::unchanged(),
            false => Answer::page(kind(&name), body),
        };
        let answer = answer
            .with("Content-Security-Policy", POLICY)
            .with("Cache-Control", "no-cache")
            .with("ETag", tag)
            .with("Referrer-Policy", "no-referrer")
            .with("Vary", "Accept-Encoding");
        if coding.is_empty() { answer } else { answer.with("Content-Encoding", coding) }
    }
}

/// What is served, in which coding if in one, and what tells it from what was there before.
struct Found {
    body: Vec<u8>,
    coding: &'static str,
    tag: String,
}

impl Found {
    fn own(name: &str, codings: &str) -> Option<Self> {
        let file = FILES.iter().find(|file| file.name == name)?;
        let tag = file.tag();
        if accepts(codings, "gzip") {
            return Some(Self { body: file.compressed.to_vec(), coding: "gzip", tag });
        }
        Some(Self { body: file.text()?, coding: "", tag })
    }

    fn of_folder(folder: &Path, name: &str, codings: &str) -> Option<Self> {
        let compressed =
            [("br", ".br"), ("gzip", ".gz")].into_iter().filter(|(coding, _)| accepts(codings, coding));
        compressed.chain([("", "")]).find_map(|(coding, ending)| {
            let (body, found) = read(&folder.join(format!("{name}{ending}")))?;
            let tag = format!("{:x}-{:x}-{:x}", found.mtime(), found.mtime_nsec(), found.len());
            Some(Self { body, coding, tag })
        })
    }
}

/// The file that a path stands for; `None` for what has names that are hidden, or written in other ways.
fn name(path: &str) -> Option<String> {
    let path = path.split(['?', '#']).next()?.strip_prefix('/')?;
    let path =
        if path.is_empty() || path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain);
    path.split('/').all(is_plain).then_some(path)
}

fn read(path: &Path) -> Option<(Vec<u8>, Metadata)> {
    let found = std::fs::metadata(path).ok()?;
    let body = (found.is_file() && found.len() <= MAX_FILE).then(|| std::fs::read(path).ok()).flatten()?;
    Some((body, found))
}

/// Whether a coding is among those of `Accept-Encoding`, and not with weight 0 (RFC 9110, 12.5.3).
fn accepts(codings: &str, wanted: &str) -> bool {
    codings.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
        name.trim().eq_ignore_ascii_case(wanted) && weight.parse().is_ok_and(|weight: f32| weight > 0.0)
    })
}

/// Whether a tag is among those of `If-None-Match`, weak ones, too (RFC 9110, 13.1.2).
fn names(known: &str, tag: &str) -> bool {
    known.trim() == "*" || known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}

/// The media type of a file, by its name.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "avif" => "image/avif",
        "gif" => "image/gif",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_the_folder() {
        assert_eq!(name("/").as_deref(), Some("index.html"));
        assert_eq!(name("/a/b.js?x=../y").as_deref(), Some("a/b.js"));
        assert_eq!(name("/a/").as_deref(), Some("a/index.html"));
        for path in
            ["/../x", "/a/../../x", "/.git/config", "//etc/passwd", "/%2e%2e/x", "/a\\b", "*", "http://a/b"]
        {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn codings() {
        assert!(accepts("deflate, gzip;q=0.5, br", "gzip") && accepts("GZIP", "gzip"));
        assert!(!accepts("gzip;q=0, identity", "gzip") && !accepts("br", "gzip"));
    }

    #[test]
    fn tags() {
        assert!(names("\"a\", W/\"b\"", "\"b\"") && names("*", "\"b\"") && !names("\"a\"", "\"b\""));
    }

    #[test]
    fn the_page_has_nothing_from_elsewhere_and_makes_no_markup() {
        let mut compressed = 0;
        for file in FILES {
            // The name of a name space is fetched from nowhere.
            let text = file.text().unwrap();
            let text =
                std::str::from_utf8(&text).unwrap().replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for word in [
                "http://",
                "https://",
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "style=",
            ] {
                assert!(!text.contains(word), "{}: {word}", file.name);
            }
            compressed += file.compressed.len();
        }
        // What a phone loads with the page.
        assert!(compressed < 60_000);
    }
}
