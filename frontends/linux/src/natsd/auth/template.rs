//! Patterns with places for what a user is: `user.{{name()}}.>`. nats-server has them in scoped signing keys.

use lunix_proto::nats::subject;

use super::grant::Permissions;

/// How many patterns may come of a list.
const MOST: usize = 4096;

/// What a user is, by the function that stands for it, such as `name()` or `tag(team)`. A function may have several
/// values; each makes a pattern.
pub(super) type Values<'v> = dyn Fn(&str) -> Option<Vec<String>> + 'v;

/// Why a list of patterns is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TemplateError;

/// Fills the places in `lines`. A pattern that does not become one is left out, or if `strict` an error: so that nothing is
/// allowed by mistake, and nothing not denied.
fn fill(lines: &str, values: &Values<'_>, strict: bool) -> Result<String, TemplateError> {
    if !lines.contains("{{") {
        return Ok(lines.to_owned());
    }
    let mut out = String::new();
    let mut count = 0;
    for line in lines.lines() {
        for filled in fill_line(line, values, strict)? {
            // A queue may stand behind the pattern.
            let mut words = filled.split(' ');
            let good = words.next().is_some_and(|word| subject::is_pattern(word.as_bytes()))
                && words.clone().count() <= 1
                && words.all(|word| subject::is_pattern(word.as_bytes()));
            match (good, strict) {
                (true, _) => super::grant::push_line(&mut out, &filled),
                (false, true) => return Err(TemplateError),
                (false, false) => {}
            }
            count += 1;
            if count > MOST {
                return Err(TemplateError);
            }
        }
    }
    Ok(out)
}

/// Fills the places of all patterns. Where nothing is left of what is allowed, nothing is allowed.
pub(super) fn fill_rules(permissions: &mut Permissions, values: &Values<'_>) -> Result<(), TemplateError> {
    for rule in [&mut permissions.publish, &mut permissions.subscribe] {
        rule.deny = fill(&rule.deny, values, true)?;
        if let Some(allow) = &mut rule.allow {
            *allow = fill(allow, values, false)?;
        }
    }
    Ok(())
}

fn fill_line(line: &str, values: &Values<'_>, strict: bool) -> Result<Vec<String>, TemplateError> {
    let mut done = vec![String::new()];
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let (function, behind) = after.split_once("}}").ok_or(TemplateError)?;
        let filled = values(function.trim()).ok_or(TemplateError)?;
        // A blank would make a queue of what follows.
        let blank = |value: &String| value.contains(char::is_whitespace);
        if filled.is_empty() || filled.iter().any(blank) {
            return if strict { Err(TemplateError) } else { Ok(Vec::new()) };
        }
        if done.len() * filled.len() > MOST {
            return Err(TemplateError);
        }
        let each =
            |done: &String| filled.iter().map(|value| format!("{done}{before}{value}")).collect::<Vec<_>>();
        done = done.iter().flat_map(each).collect();
        rest = behind;
    }
    done.iter_mut().for_each(|done| done.push_str(rest));
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(function: &str) -> Option<Vec<String>> {
        let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
        match function {
            "name()" => words(&["till"]),
            "tag(team)" => words(&["a", "b"]),
            "tag(none)" => words(&[]),
            "bad()" => words(&["x y"]),
            _ => None,
        }
    }

    #[test]
    fn places_are_filled() {
        for (lines, strict, filled) in [
            ("a.>\nb q", true, Ok("a.>\nb q")),
            ("user.{{name()}}.> {{ name() }}", true, Ok("user.till.> till")),
            ("{{tag(team)}}.{{tag(team)}}", true, Ok("a.a\na.b\nb.a\nb.b")),
            ("{{tag(none)}}\nx", false, Ok("x")),
            ("{{tag(none)}}\nx", true, Err(TemplateError)),
            ("{{bad()}}.>\nx", false, Ok("x")),
            ("{{bad()}}.>\nx", true, Err(TemplateError)),
            ("{{what()}}", false, Err(TemplateError)),
            ("{{name()", false, Err(TemplateError)),
        ] {
            assert_eq!(fill(lines, &values, strict), filled.map(str::to_owned), "{lines}");
        }
        let many = "{{tag(team)}}".repeat(20);
        assert_eq!(fill(&many, &values, false), Err(TemplateError));
    }
}
