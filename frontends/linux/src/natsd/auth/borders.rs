//! What accounts export and import, as the borders that the broker lets messages cross.

use lunix_core::broker::{AccountId, Border};

use super::grant::Responses;
use crate::natsd::settings::{Export, Import};

/// An account with what it gives and takes.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) account: AccountId,
    pub(super) name: String,
    pub(super) exports: Vec<Export>,
    pub(super) imports: Vec<Import>,
}

/// All borders, by the account that messages leave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Borders(Vec<Vec<Way>>);

#[derive(Debug, PartialEq, Eq)]
struct Way {
    from: String,
    to: AccountId,
    subject: String,
    service: Option<Responses>,
    /// The name of the account that requests leave.
    asker: String,
}

impl Borders {
    /// The borders between these accounts.
    pub(super) fn between(sheets: &[Sheet]) -> Self {
        let mut borders = Self::default();
        for importer in sheets {
            for import in &importer.imports {
                let Some(exporter) = sheets.iter().find(|sheet| sheet.name == import.account) else {
                    continue;
                };
                let Some(export) = granted(exporter, importer, import) else { continue };
                let (account, way) = if import.service {
                    (importer.account, service(exporter, importer, import, export.responses))
                } else {
                    (exporter.account, stream(importer, import))
                };
                borders.add(account, way);
            }
        }
        borders
    }

    fn add(&mut self, account: AccountId, way: Way) {
        let index = account.index() as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, Vec::new);
        }
        if let Some(ways) = self.0.get_mut(index)
            && !ways.contains(&way)
        {
            ways.push(way);
        }
    }

    /// Whether other accounts ask services of this one.
    pub(crate) fn is_asked(&self, account: AccountId) -> bool {
        self.0.iter().flatten().any(|way| way.service.is_some() && way.to == account)
    }

    /// The same in the broker's words.
    pub(crate) fn find(&self, account: AccountId, index: u32) -> Option<Border<'_>> {
        let Way { from, to, subject, service, asker } =
            self.0.get(account.index() as usize)?.get(index as usize)?;
        let service = service.map(Responses::of_broker);
        Some(Border { from, to: *to, subject, service, asker })
    }
}

/// The export that lets this import in.
fn granted<'s>(exporter: &'s Sheet, importer: &Sheet, import: &Import) -> Option<&'s Export> {
    let of_kind = || exporter.exports.iter().filter(|export| export.service == import.service);
    let exact = of_kind().find(|export| export.subject == import.subject);
    let export = exact.or_else(|| of_kind().find(|export| is_within(&import.subject, &export.subject)))?;
    let allowed = if let Some(position) = export.token_position {
        let token = import.subject.split('.').nth(position.saturating_sub(1));
        token == Some(importer.name.as_str())
    } else if export.needs_activation {
        import.activated
    } else {
        export.accounts.as_ref().is_none_or(|accounts| accounts.contains(&importer.name))
    };
    allowed.then_some(export)
}

/// Whether all subjects of a pattern are subjects of another one.
pub(super) fn is_within(pattern: &str, whole: &str) -> bool {
    let mut tokens = pattern.split('.');
    for of_whole in whole.split('.') {
        match (of_whole, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(token)) if token != ">" => {}
            (a, Some(b)) if a == b => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Messages leave the exporter, under the name that the importer has for them.
fn stream(importer: &Sheet, import: &Import) -> Way {
    let subject = match (&import.to, &import.prefix) {
        (Some(to), _) => numbered(to),
        (None, Some(prefix)) => {
            format!("{}.{}", prefix.trim_end_matches(".>").trim_end_matches('.'), numbered(&import.subject))
        }
        (None, None) => String::new(),
    };
    Way { from: import.subject.clone(), to: importer.account, subject, service: None, asker: String::new() }
}

/// Requests leave the importer, under the name that the exporter has for them.
fn service(exporter: &Sheet, importer: &Sheet, import: &Import, responses: Responses) -> Way {
    let local = import.to.as_deref().unwrap_or(&import.subject);
    // Where the importer's pattern says `$2`, it has what the exporter's second `*` stands for.
    let places: Vec<usize> = local
        .split('.')
        .filter_map(wildcard)
        .enumerate()
        .map(|(at, number)| number.unwrap_or(at + 1))
        .collect();
    let mut count = 0;
    let subject = tokens(&import.subject, |_| {
        count += 1;
        let at = places.iter().position(|number| *number == count).unwrap_or(count - 1);
        format!("${}", at + 1)
    });
    let from = tokens(local, |_| "*".to_owned());
    let subject = if subject == numbered(&from) { String::new() } else { subject };
    Way { from, to: exporter.account, subject, service: Some(responses), asker: importer.name.clone() }
}

/// `*` is a wildcard without number, `$2` the second.
fn wildcard(token: &str) -> Option<Option<usize>> {
    match token {
        "*" => Some(None),
        _ => token.strip_prefix('$')?.parse().ok().map(Some),
    }
}

/// A pattern whose wildcards are replaced.
fn tokens(pattern: &str, mut replace: impl FnMut(Option<usize>) -> String) -> String {
    let each = pattern.split('.').map(|token| wildcard(token).map_or_else(|| token.to_owned(), &mut replace));
    each.collect::<Vec<_>>().join(".")
}

/// A pattern whose `*` are numbered.
fn numbered(pattern: &str) -> String {
    let mut count = 0;
    tokens(pattern, |number| {
        count += 1;
        format!("${}", number.unwrap_or(count))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(number: u32, name: &str, exports: Vec<Export>, imports: Vec<Import>) -> Sheet {
        Sheet { account: AccountId::new(number), name: name.to_owned(), exports, imports }
    }

    fn export(service: bool, subject: &str) -> Export {
        Export { subject: subject.to_owned(), ..Export::new(service) }
    }

    fn import(service: bool, subject: &str, to: Option<&str>, prefix: Option<&str>) -> Import {
        Import {
            service,
            account: "A".to_owned(),
            subject: subject.to_owned(),
            to: to.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
            activated: false,
        }
    }

    #[test]
    fn what_is_imported_crosses_a_border() {
        let exports = || vec![export(false, "a.>"), export(true, "s.*.*"), export(true, "t.>")];
        for (import, account, from, subject) in [
            (import(false, "a.*", None, None), 2, "a.*", ""),
            (import(false, "a.*", None, Some("x")), 2, "a.*", "x.a.$1"),
            (import(false, "a.>", None, Some("x.>")), 2, "a.>", "x.a.>"),
            (import(false, "a.*.*", Some("y.$2.$1"), None), 2, "a.*.*", "y.$2.$1"),
            (import(false, "a.*", Some("y.*"), None), 2, "a.*", "y.$1"),
            (import(true, "s.*.*", None, None), 3, "s.*.*", ""),
            (import(true, "s.*.*", Some("l.$2.$1"), None), 3, "l.*.*", "s.$2.$1"),
            (import(true, "s.*.b", Some("l.*"), None), 3, "l.*", "s.$1.b"),
            (import(true, "t.>", Some("u.>"), None), 3, "u.>", "t.>"),
            (import(true, "t.x", Some("y"), None), 3, "y", "t.x"),
        ] {
            let kind = import.service;
            let sheets = [sheet(2, "A", exports(), vec![]), sheet(3, "B", vec![], vec![import])];
            let borders = Borders::between(&sheets);
            let border = borders.find(AccountId::new(account), 0).unwrap();
            assert_eq!((border.from, border.subject), (from, subject));
            assert_eq!(border.service.is_some(), kind);
            assert_eq!(border.to.index(), 5 - account);
            assert_eq!(borders.find(AccountId::new(account), 1), None);
            assert_eq!(borders.find(AccountId::new(5 - account), 0), None);
        }
    }

    #[test]
    fn what_is_not_given_is_not_taken() {
        let private = |accounts: &[&str]| Export {
            accounts: Some(accounts.iter().map(|&name| name.to_owned()).collect()),
            ..export(false, "a.*")
        };
        let positioned = Export { token_position: Some(2), ..export(false, "a.*") };
        let activated = Export { needs_activation: true, ..export(false, "a.*") };
        for (exports, import, good) in [
            (vec![private(&["B"])], import(false, "a.*", None, None), true),
            (vec![private(&["C"])], import(false, "a.*", None, None), false),
            (vec![private(&["B"])], import(true, "a.*", None, None), false),
            (vec![private(&["B"])], import(false, "a.>", None, None), false),
            (vec![positioned.clone()], import(false, "a.B", None, None), true),
            (vec![positioned], import(false, "a.C", None, None), false),
            (vec![activated.clone()], import(false, "a.*", None, None), false),
            (vec![activated], Import { activated: true, ..import(false, "a.*", None, None) }, true),
            (vec![], import(false, "a.*", None, None), false),
        ] {
            let sheets = [sheet(2, "A", exports, vec![]), sheet(3, "B", vec![], vec![import])];
            assert_eq!(Borders::between(&sheets).find(AccountId::new(2), 0).is_some(), good);
        }
        for (pattern, whole, within) in [
            ("a.*", "a.>", true),
            ("a", "a.>", false),
            ("a.>", "a.*", false),
            (">", ">", true),
            ("a.*.b", "a.*.*", true),
            ("a.b", "a", false),
        ] {
            assert_eq!(is_within(pattern, whole), within, "{pattern} {whole}");
        }
    }
}
