//! A failing script without what it does not need (delta debugging).

use anyhow::Result;

use super::script::{Script, Step};

/// The smallest script that can be had from `script` by leaving out parts, so that `fails` holds for it.
pub(super) fn shrink(script: Script, mut fails: impl FnMut(&Script) -> Result<bool>) -> Result<Script> {
    let mut best = script;
    loop {
        let before = weight(&best);
        best = fewer_steps(best, &mut fails)?;
        best = fewer_operations(best, &mut fails)?;
        if weight(&best) == before {
            return Ok(best);
        }
    }
}

fn weight(script: &Script) -> usize {
    let of = |step: &Step| match step {
        Step::Say(say) => 1 + say.ops.len() + say.cuts.len() + usize::from(say.last),
        _ => 1,
    };
    script.steps.iter().map(of).sum()
}

fn fewer_steps(mut best: Script, fails: &mut impl FnMut(&Script) -> Result<bool>) -> Result<Script> {
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < best.steps.len() {
            let mut less = best.clone();
            less.steps.drain(at..(at + size).min(best.steps.len()));
            if fails(&less)? {
                best = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    Ok(best)
}

fn fewer_operations(mut best: Script, fails: &mut impl FnMut(&Script) -> Result<bool>) -> Result<Script> {
    for at in 0..best.steps.len() {
        let Step::Say(say) = &best.steps[at] else { continue };
        let (ops, cuts) = (say.ops.len(), say.cuts.len());
        for op in (0..ops).rev() {
            best = with(best, at, |say| drop(say.ops.remove(op)), fails)?;
        }
        for cut in (0..cuts).rev() {
            best = with(
                best,
                at,
                |say| {
                    say.cuts.remove(cut);
                },
                fails,
            )?;
        }
        best = with(best, at, |say| say.last = false, fails)?;
    }
    Ok(best)
}

/// `best` with one step changed, if it still fails.
fn with(
    best: Script,
    at: usize,
    change: impl FnOnce(&mut super::script::Say),
    fails: &mut impl FnMut(&Script) -> Result<bool>,
) -> Result<Script> {
    let mut less = best.clone();
    if let Step::Say(say) = &mut less.steps[at] {
        let before = (say.ops.len(), say.cuts.len(), say.last);
        change(say);
        if before == (say.ops.len(), say.cuts.len(), say.last) {
            return Ok(best);
        }
    }
    Ok(if fails(&less)? { less } else { best })
}

#[cfg(test)]
mod tests {
    use super::super::generate;
    use super::*;

    #[test]
    fn what_is_left_is_what_it_needs() {
        let needs = |script: &Script| {
            let pings =
                script.steps.iter().filter(|step| matches!(step, Step::Say(say) if !say.ops.is_empty()));
            pings.count() >= 2
        };
        let script = (0..).map(|seed| generate::script(seed, None)).find(needs).unwrap();
        let least = shrink(script, |script| Ok(needs(script))).unwrap();
        assert_eq!(least.steps.len(), 2);
        assert!(least.steps.iter().all(|step| matches!(step, Step::Say(say) if say.ops.len() == 1)));
    }
}
