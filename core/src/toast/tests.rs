extern crate std;

use super::*;
use crate::time::{Duration, Instant};
use std::string::String;
use std::vec::Vec;

type Small = Toasts<2, 2, 2, 512>;

const START: Instant = Instant::from_micros(1_000_000);

fn at(ms: u64) -> Instant {
    START + Duration::from_millis(ms)
}

fn drained(toasts: &mut Small) -> Vec<Event> {
    std::iter::from_fn(|| toasts.poll()).collect()
}

fn small() -> Small {
    Toasts::new(Timeouts::STANDARD)
}

fn send(toasts: &mut Small, ms: u64, request: Request<'_>) -> u32 {
    toasts.handle(at(ms), Input::Toast(&request)).unwrap()
}

fn critical(summary: &str) -> Request<'_> {
    Request { urgency: Urgency::Critical, ..Request::new(summary) }
}

#[test]
fn time_outs_follow_urgency_unless_given() {
    for (urgency, timeout_ms, expected) in [
        (Urgency::Low, None, Some(5_000)),
        (Urgency::Normal, None, Some(10_000)),
        (Urgency::Critical, None, None),
        (Urgency::Critical, Some(1), Some(1)),
        (Urgency::Low, Some(0), None),
        (Urgency::Low, Some(u32::MAX), Some(4_294_967_295)),
    ] {
        let mut toasts = small();
        send(&mut toasts, 0, Request { urgency, timeout_ms, ..Request::new("x") });
        assert_eq!(drained(&mut toasts).len(), 1);
        assert_eq!(toasts.next_deadline(), expected.map(at), "{urgency:?} {timeout_ms:?}");
    }
}

#[test]
fn a_toast_is_shown_expires_and_is_remembered() {
    let mut toasts = small();
    let id = send(&mut toasts, 0, Request::new("x"));
    assert_eq!(drained(&mut toasts), [Event::Show(id, Why::New)]);
    toasts.handle(at(9_999), Input::Tick).unwrap();
    assert_eq!(drained(&mut toasts), []);
    toasts.handle(at(10_000), Input::Tick).unwrap();
    assert_eq!(drained(&mut toasts), [Event::Closed(id, Reason::Expired)]);
    assert_eq!(toasts.view().present().count(), 0);
    assert_eq!(toasts.next_deadline(), None);
    let past = toasts.history().next().unwrap();
    assert_eq!((past.stage(), past.since()), (Stage::Closed(Reason::Expired), at(10_000)));
    assert_eq!(toasts.handle(at(10_000), Input::Close(id)), Err(Refusal::NoToast(id)));
}

#[test]
fn a_resident_toast_outlives_its_actions_and_a_transient_one_is_forgotten() {
    let mut toasts = small();
    let mut request = Request { resident: true, transient: true, ..critical("player") };
    request.actions[0] = Some(Offer { id: "next".into(), label: "".into() });
    let id = send(&mut toasts, 0, request);
    assert_eq!(drained(&mut toasts), [Event::Show(id, Why::New)]);
    for _ in 0..2 {
        assert_eq!(toasts.handle(at(1), Input::Action(id, "next".into())), Ok(id));
        assert_eq!(drained(&mut toasts), [Event::Action(id, 0)]);
    }
    let mut out = [0; 256];
    let len = encode::show(&mut out, toasts.get(id).unwrap(), Why::New).unwrap();
    assert_eq!(
        core::str::from_utf8(&out[..len]).unwrap(),
        concat!(
            r#"{"id":1,"summary":"player","urgency":"critical","timeout_ms":0,"resident":true,"transient":true,"#,
            r#""actions":[{"id":"next","label":"next"}]}"#
        )
    );
    toasts.handle(at(2), Input::Dismiss(id)).unwrap();
    assert_eq!(drained(&mut toasts), [Event::Closed(id, Reason::Dismissed)]);
    assert!(toasts.get(id).is_none() && toasts.history().next().is_none());
}

#[test]
fn waiting_does_not_count_and_urgency_goes_first() {
    let mut toasts = small();
    let first = send(&mut toasts, 0, Request::new("first"));
    let second = send(&mut toasts, 1, Request::new("second"));
    let third = send(&mut toasts, 2, Request::new("third"));
    let urgent = send(&mut toasts, 3, critical("urgent"));
    assert_eq!(drained(&mut toasts), [Event::Show(first, Why::New), Event::Show(second, Why::New)]);
    assert_eq!(
        toasts.handle(at(4), Input::Toast(&critical("one too many"))),
        Err(Refusal::Full { shown: 2, waiting: 2 })
    );
    toasts.handle(at(10_001), Input::Tick).unwrap();
    assert_eq!(
        drained(&mut toasts),
        [
            Event::Closed(first, Reason::Expired),
            Event::Closed(second, Reason::Expired),
            Event::Show(urgent, Why::New),
            Event::Show(third, Why::New),
        ]
    );
    assert_eq!(toasts.next_deadline(), Some(at(20_001)));
}

#[test]
fn replacing_keeps_id_and_place_and_starts_time_anew() {
    let mut toasts = small();
    let first = send(&mut toasts, 0, Request::new("one"));
    let second = send(&mut toasts, 0, Request::new("two"));
    drained(&mut toasts);
    let again = Request { replaces: Some(first), progress: Some(50), ..Request::new("one and a half") };
    assert_eq!(send(&mut toasts, 6_000, again), first);
    assert_eq!(
        drained(&mut toasts),
        [Event::Closed(first, Reason::Replaced), Event::Show(first, Why::Replaced)]
    );
    assert!(toasts.view().shown().map(Toast::summary).eq(["one and a half", "two"]));
    assert_eq!(toasts.get(first).unwrap().progress(), Some(50));
    toasts.handle(at(10_000), Input::Tick).unwrap();
    assert_eq!(drained(&mut toasts), [Event::Closed(second, Reason::Expired)]);
    assert_eq!(toasts.next_deadline(), Some(at(16_000)));
}

#[test]
fn replacing_one_that_waits_shows_nothing_yet() {
    let mut toasts = small();
    for summary in ["a", "b"] {
        send(&mut toasts, 0, critical(summary));
    }
    let waiting = send(&mut toasts, 0, Request::new("c"));
    drained(&mut toasts);
    send(&mut toasts, 1, Request { replaces: Some(waiting), ..Request::new("C") });
    assert_eq!(drained(&mut toasts), [Event::Closed(waiting, Reason::Replaced)]);
    assert!(toasts.view().waiting().map(Toast::summary).eq(["C"]));
}

#[test]
fn an_id_that_is_gone_is_kept_and_an_unknown_one_is_not() {
    let mut toasts = small();
    let first = send(&mut toasts, 0, Request::new("x"));
    toasts.handle(at(0), Input::Dismiss(first)).unwrap();
    drained(&mut toasts);
    assert_eq!(send(&mut toasts, 1, Request { replaces: Some(first), ..Request::new("x") }), first);
    assert_eq!(drained(&mut toasts), [Event::Show(first, Why::New)]);
    assert_eq!(send(&mut toasts, 1, Request { replaces: Some(99), ..Request::new("y") }), first + 1);
    assert_eq!(send(&mut toasts, 1, Request { replaces: Some(0), ..Request::new("z") }), first + 2);
}

#[test]
fn a_refused_replacement_leaves_the_old_one() {
    let mut toasts = small();
    let id = send(&mut toasts, 0, Request::new("old"));
    drained(&mut toasts);
    let empty = Request { replaces: Some(id), ..Request::new(" \x1b[0m ") };
    let refusal = toasts.handle(at(5), Input::Toast(&empty)).unwrap_err();
    assert_eq!(refusal, Refusal::invalid("summary", "text that can be shown"));
    assert_eq!(drained(&mut toasts), []);
    assert_eq!(toasts.get(id).unwrap().summary(), "old");
    assert_eq!(toasts.next_deadline(), Some(at(10_000)));
}

#[test]
fn choosing_an_action_dismisses() {
    let mut toasts = small();
    let mut request = Request::new("stick");
    request.actions[0] = Some(Offer { id: "open".into(), label: "Open".into() });
    request.actions[1] = Some(Offer { id: "eject".into(), label: Text::default() });
    let id = send(&mut toasts, 0, request);
    drained(&mut toasts);
    assert!(toasts.get(id).unwrap().actions().eq([("open", "Open"), ("eject", "eject")]));
    assert_eq!(toasts.handle(at(1), Input::Action(id, "burn".into())), Err(Refusal::NoAction(id)));
    assert_eq!(toasts.handle(at(1), Input::Action(9, "open".into())), Err(Refusal::NoToast(9)));
    toasts.handle(at(1), Input::Action(id, "eject".into())).unwrap();
    assert_eq!(drained(&mut toasts), [Event::Action(id, 1), Event::Closed(id, Reason::Dismissed)]);
    assert_eq!(toasts.get(id).unwrap().action(1), Some(("eject", "eject")));
}

#[test]
fn what_is_shown_is_announced_again() {
    let mut toasts = small();
    let ids: Vec<u32> = ["a", "b", "c"].map(|summary| send(&mut toasts, 0, critical(summary))).into();
    drained(&mut toasts);
    toasts.handle(at(1), Input::Announce).unwrap();
    assert_eq!(drained(&mut toasts), [Event::Show(ids[0], Why::Again), Event::Show(ids[1], Why::Again)]);
}

#[test]
fn history_keeps_the_last() {
    let mut toasts = small();
    for summary in ["a", "b", "c"] {
        let id = send(&mut toasts, 0, Request::new(summary));
        toasts.handle(at(0), Input::Close(id)).unwrap();
        drained(&mut toasts);
    }
    assert!(toasts.history().map(Toast::summary).eq(["c", "b"]));
    let mut none: Toasts<1, 0, 0, 64> = Toasts::new(Timeouts::STANDARD);
    let id = none.handle(START, Input::Toast(&Request::new("x"))).unwrap();
    assert_eq!(none.poll(), Some(Event::Show(id, Why::New)));
    assert_eq!(
        none.handle(START, Input::Toast(&Request::new("y"))),
        Err(Refusal::Full { shown: 1, waiting: 0 })
    );
    none.handle(START, Input::Close(id)).unwrap();
    assert_eq!(none.poll(), Some(Event::Closed(id, Reason::Closed)));
    assert!(none.get(id).is_none());
}

#[test]
fn long_text_is_cut_and_long_names_are_refused() {
    let long: String = "\u{e9}".repeat(600);
    let mut toasts = small();
    let request = Request { body: long.as_str().into(), app: long.as_str().into(), ..Request::new(&long) };
    let id = send(&mut toasts, 0, request);
    let toast = toasts.get(id).unwrap();
    assert_eq!((toast.summary().len(), toast.app().len()), (255, 63));
    // The rest of the 512 bytes, in whole characters.
    assert_eq!(toast.body().len(), 193);
    for cut in [toast.summary(), toast.app(), toast.body()] {
        assert!(cut.ends_with("\u{e9}\u{2026}"));
    }
    let icon = Request { icon: long.as_str().into(), ..Request::new("x") };
    let refusal = toasts.handle(at(0), Input::Toast(&icon)).unwrap_err();
    assert_eq!(refusal, Refusal::invalid("icon", "at most 128 bytes without control characters"));
    for id in ["", "a\nb", long.as_str()] {
        let mut request = Request::new("x");
        request.actions[0] = Some(Offer { id: "ok".into(), label: long.as_str().into() });
        request.actions[1] = Some(Offer { id: id.into(), label: "b".into() });
        let refusal = toasts.handle(at(0), Input::Toast(&request)).unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid { key: "id", action: Some(1), .. }));
    }
}

#[test]
fn the_largest_toast_fits_or_is_refused_in_the_smallest_memory() {
    let mut tiny: Toasts<1, 1, 1, 64> = Toasts::new(Timeouts::STANDARD);
    let app = "a".repeat(80);
    let crowded = Request { app: app.as_str().into(), ..Request::new("x") };
    assert!(tiny.handle(START, Input::Toast(&crowded)).is_err());
    assert!(tiny.handle(START, Input::Toast(&Request::new(&app))).is_ok());
}

#[test]
fn ids_are_given_anew_after_the_last() {
    let mut toasts = small();
    let first = send(&mut toasts, 0, critical("a"));
    drained(&mut toasts);
    toasts.jump_to(u32::MAX);
    assert_eq!(send(&mut toasts, 0, critical("b")), first + 1);
}

#[test]
fn time_never_runs_backwards() {
    let mut toasts = small();
    send(&mut toasts, 5_000, Request::new("x"));
    drained(&mut toasts);
    toasts.handle(at(0), Input::Tick).unwrap();
    assert_eq!(toasts.view().now(), at(5_000));
}

#[test]
fn json_is_what_the_contract_says() {
    let mut toasts = small();
    let mut request = critical("s \"q\"");
    (request.body, request.app, request.icon) = ("l1\nl2".into(), "app".into(), "usb".into());
    request.progress = Some(7);
    request.actions[0] = Some(Offer { id: "open".into(), label: "Open".into() });
    let id = send(&mut toasts, 0, request);
    send(&mut toasts, 0, Request { timeout_ms: Some(1_500), ..Request::new("plain") });
    send(&mut toasts, 0, Request::new("later"));
    drained(&mut toasts);
    toasts.handle(at(500), Input::Tick).unwrap();
    let mut out = [0; 2048];
    let text = |len: Result<usize, lunix_proto::Full>, out: &[u8]| {
        String::from(core::str::from_utf8(&out[..len.unwrap()]).unwrap())
    };
    let first = concat!(
        r#"{"id":1,"summary":"s \"q\"","body":"l1\nl2","app":"app","icon":"usb","urgency":"critical","#,
        r#""timeout_ms":0,"progress":7,"actions":[{"id":"open","label":"Open"}]"#
    );
    let len = encode::show(&mut out, toasts.get(id).unwrap(), Why::Again);
    assert_eq!(text(len, &out), std::format!("{first},\"again\":true}}"));
    let len = encode::list(&mut out, toasts.view().present(), toasts.view().now());
    assert_eq!(
        text(len, &out),
        std::format!(
            "[{first},\"state\":\"shown\",\"age_ms\":500}},{},{}]",
            r#"{"id":2,"summary":"plain","urgency":"normal","timeout_ms":1500,"state":"shown","age_ms":500,"left_ms":1000}"#,
            r#"{"id":3,"summary":"later","urgency":"normal","timeout_ms":10000,"state":"waiting","age_ms":500}"#,
        )
    );
    let len = encode::closed(&mut out, 3, Reason::Replaced);
    assert_eq!(text(len, &out), r#"{"id":3,"reason":"replaced"}"#);
    let len = encode::action(&mut out, 3, "open");
    assert_eq!(text(len, &out), r#"{"id":3,"action":"open"}"#);
    let len = encode::id(&mut out, 3);
    assert_eq!(text(len, &out), r#"{"id":3}"#);
    let len = encode::error(&mut out, &Refusal::NoToast(3));
    assert_eq!(text(len, &out), r#"{"error":"id: no toast 3 is present"}"#);
    assert!(encode::show(&mut out[..20], toasts.get(id).unwrap(), Why::New).is_err());
}

#[test]
fn memory_is_what_the_parameters_say() {
    // One toast costs its text and about a hundred bytes, so that a target can reckon.
    let one = size_of::<Toasts<1, 0, 0, 512>>() - size_of::<Toasts<1, 0, 0, 256>>();
    assert_eq!(one, 256);
    assert!(size_of::<Toasts<4, 4, 4, 256>>() < 12 * (256 + 128) + 128);
}
