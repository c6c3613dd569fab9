//! Who a certificate says that its owner is.

use rustls::pki_types::CertificateDer;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The names in a certificate whose chain has been verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// E-mail addresses, then DNS names, then URIs, each in the certificate's order.
    names: Vec<String>,
    /// The subject's attributes, such as `("CN", "www")`.
    subject: Vec<(String, String)>,
}

/// The attributes that a user's name may have, as `O=lunix,CN=www`.
const ATTRIBUTES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

impl Certificate {
    /// `None` if it is not a certificate.
    pub fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
        let alternatives = match certificate.get::<SubjectAltName>() {
            Ok(Some((_, alternatives))) => alternatives.0,
            _ => Vec::new(),
        };
        let of = |kind: fn(&GeneralName) -> Option<&str>| alternatives.iter().filter_map(kind);
        let names = of(|name| match name {
            GeneralName::Rfc822Name(name) => Some(name.as_str()),
            _ => None,
        })
        .chain(of(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str()),
            _ => None,
        }))
        .chain(of(|name| match name {
            GeneralName::UniformResourceIdentifier(name) => Some(name.as_str()),
            _ => None,
        }))
        .map(str::to_owned)
        .collect();
        let subject = certificate.subject.0.iter().flat_map(|part| part.0.iter()).map(attribute).collect();
        Some(Self { names, subject })
    }

    /// The names that users may have, in the order in which they are tried.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether a user's name, such as `CN=www,O=lunix`, is the subject as RFC 4514 writes it, its last attribute first. Of
    /// several users whose names differ only in their order, this is the one.
    pub fn is_whole_subject(&self, user: &str) -> bool {
        let subject = self.subject.iter().rev().map(|(key, value)| (key.clone(), value.to_lowercase()));
        distinguished_name(user).is_some_and(|wanted| !wanted.is_empty() && subject.eq(wanted))
    }

    /// Whether a user's name, such as `CN=www, O=lunix`, is the subject: all of its attributes, in any order.
    pub fn is_subject(&self, user: &str) -> bool {
        self.has(user, |_| true)
    }

    /// The same without the attributes that Go leaves out of the names that it writes, which nats-server looks for last.
    pub fn is_short_subject(&self, user: &str) -> bool {
        self.has(user, |key| !matches!(key, "DC" | "UID") && !key.contains('.'))
    }

    /// The first common name of the subject.
    pub fn common_name(&self) -> Option<&str> {
        self.subject.iter().find(|(key, _)| key == "CN").map(|(_, value)| value.as_str())
    }

    fn has(&self, user: &str, counts: impl Fn(&str) -> bool) -> bool {
        let Some(mut wanted) = distinguished_name(user) else { return false };
        let counted = self.subject.iter().filter(|(key, _)| counts(key));
        let mut subject: Vec<_> = counted.map(|(key, value)| (key.clone(), value.to_lowercase())).collect();
        wanted.sort();
        subject.sort();
        !subject.is_empty() && wanted == subject
    }
}

fn attribute(attribute: &AttributeTypeAndValue) -> (String, String) {
    let oid = attribute.oid.to_string();
    let key = ATTRIBUTES.iter().find(|(number, _)| *number == oid).map_or(oid.as_str(), |(_, key)| key);
    let value = &attribute.value;
    let text = value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str())
        .or_else(|_| value.decode_as::<PrintableStringRef<'_>>().map(|text| text.as_str()))
        .or_else(|_| value.decode_as::<Ia5StringRef<'_>>().map(|text| text.as_str()));
    (key.to_owned(), text.unwrap_or_default().to_owned())
}

/// The attributes of `CN=www, O=lunix` or of `CN=www+O=lunix`: keys in capitals, values in small letters. A comma, a plus
/// sign or a backslash in a value stands behind a backslash.
fn distinguished_name(text: &str) -> Option<Vec<(String, String)>> {
    let mut attributes = Vec::new();
    let mut part = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            Some('\\') => part.push(chars.next()?),
            Some(char) if !matches!(char, ',' | '+') => part.push(char),
            end => {
                let (key, value) = part.split_once('=')?;
                attributes.push((key.trim().to_uppercase(), value.trim().to_lowercase()));
                part.clear();
                if end.is_none() {
                    return Some(attributes);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_subject_whatever_the_order_and_case() {
        let of = |pairs: &[(&str, &str)]| Certificate {
            names: Vec::new(),
            subject: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let certificate = of(&[("C", "SE"), ("O", "A, B"), ("CN", "www")]);
        assert!(certificate.is_subject("cn=WWW, O=a\\, b, c=se"));
        assert!(certificate.is_subject("CN=www+O=A\\, B,C=SE"));
        for other in ["", "www", "CN=www", "CN=www,O=A,C=SE", "CN=www,O=A\\, B,C=SE,C=SE", "CN=www\\"] {
            assert!(!certificate.is_subject(other), "{other}");
        }
        assert!(!of(&[]).is_subject(""));
        assert!(certificate.is_whole_subject("CN=www,O=A\\, B,C=SE"));
        assert!(!certificate.is_whole_subject("C=SE,O=A\\, B,CN=www") && !of(&[]).is_whole_subject(""));
        let certificate = of(&[("DC", "org"), ("1.2.3", "x"), ("CN", "www")]);
        assert!(certificate.is_short_subject("CN=www") && !certificate.is_subject("CN=www"));
        assert!(!certificate.is_short_subject("CN=www,DC=org") && !of(&[("DC", "org")]).is_short_subject(""));
    }

    fn of(pairs: &[(String, String)]) -> Certificate {
        Certificate { names: Vec::new(), subject: pairs.to_vec() }
    }

    /// As a configuration would say it.
    fn written(pairs: &[(String, String)], between: char) -> String {
        let escaped = |value: &String| {
            value.chars().fold(String::new(), |mut text, char| {
                if matches!(char, ',' | '+' | '\\') {
                    text.push('\\');
                }
                text.push(char);
                text
            })
        };
        let parts: Vec<String> =
            pairs.iter().map(|(key, value)| format!(" {key} = {} ", escaped(value))).collect();
        parts.join(&between.to_string())
    }

    proptest::proptest! {
        #[test]
        fn a_name_that_is_written_down_is_the_subject_and_no_other_is(
            subject in proptest::collection::vec(("[A-Z]{1,3}", "[a-c,+\\\\=äÖ]{1,6}"), 1..5),
            other in proptest::collection::vec(("[A-Z]{1,3}", "[a-c,+\\\\=äÖ]{1,6}"), 0..5),
            plus in proptest::bool::ANY,
        ) {
            let between = if plus { '+' } else { ',' };
            let reversed: Vec<_> = subject.iter().rev().cloned().collect();
            proptest::prop_assert!(of(&subject).is_subject(&written(&reversed, between)));
            let fold = |pairs: &[(String, String)]| {
                let mut pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.clone(), value.to_lowercase())).collect();
                pairs.sort();
                pairs
            };
            let same = fold(&subject) == fold(&other);
            proptest::prop_assert_eq!(of(&subject).is_subject(&written(&other, between)), same);
        }

        #[test]
        fn any_text_is_borne_and_never_is_nobody(text in ".*", noise in "[A-C=,+\\\\ ]*") {
            let _ = distinguished_name(&text);
            proptest::prop_assert!(!of(&[]).is_subject(&text));
            proptest::prop_assert!(!of(&[]).is_subject(&noise));
        }

        #[test]
        fn bytes_that_are_no_certificate_have_no_names(der in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            proptest::prop_assert_eq!(Certificate::parse(&der.into()), None);
        }
    }
}
