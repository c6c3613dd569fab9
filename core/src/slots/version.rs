//! Which of two versions is the newer one.

use core::cmp::Ordering;

/// Whether version `new` comes after `old`, as Semantic Versioning 2.0.0, section 11, orders them. What is behind a `+`
/// does not count; what is no number where one is expected comes after every number, as text.
///
/// ```
/// use lunix_core::slots::newer;
/// use std::cmp::Ordering;
/// assert_eq!(newer("0.10.0", "0.9.1"), Ordering::Greater);
/// assert_eq!(newer("1.0.0-rc.2", "1.0.0"), Ordering::Less);
/// assert_eq!(newer("1.0.0+abc", "1.0.0+def"), Ordering::Equal);
/// ```
pub fn newer(new: &str, old: &str) -> Ordering {
    let (new, new_early) = split(new);
    let (old, old_early) = split(old);
    fields(new, old).then_with(|| match (new_early, old_early) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(new), Some(old)) => fields(new, old),
    })
}

fn split(version: &str) -> (&str, Option<&str>) {
    let version = version.split('+').next().unwrap_or_default();
    version.split_once('-').map_or((version, None), |(version, early)| (version, Some(early)))
}

fn fields(new: &str, old: &str) -> Ordering {
    let (mut new, mut old) = (new.split('.'), old.split('.'));
    loop {
        let order = match (new.next(), old.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(new), Some(old)) => match (new.parse::<u64>(), old.parse::<u64>()) {
                (Ok(new), Ok(old)) => new.cmp(&old),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => new.cmp(old),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_order_of_the_specification() {
        let sorted = [
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "2.0.0",
        ];
        for (i, new) in sorted.iter().enumerate() {
            for (j, old) in sorted.iter().enumerate() {
                assert_eq!(newer(new, old), i.cmp(&j), "{new} {old}");
            }
        }
    }
}
