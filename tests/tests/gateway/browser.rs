//! The gateway's page as somebody sees it: in a real browser, without a window.

use crate::page::port;
use crate::{MARGIN, Sums, start};
use becket_tests::broker::Broker;
use becket_tests::browser::Browser;
use becket_tests::device::Device;
use becket_tests::examples;
use rustix::process::Signal;
use std::path::PathBuf;

const DESKTOP: (u32, u32) = (1200, 1700);
const PHONE: (u32, u32) = (390, 844);

/// Where pictures are kept: in the folder of the profile, as the examples are.
fn pictures() -> PathBuf {
    let examples = examples::path("gateway");
    let folder = examples.ancestors().nth(3).expect("a target folder").join("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Panics unless pages were content, and talked to nobody but these gateways.
fn assert_clean(browser: &mut Browser, urls: &[String]) {
    let requests = browser.events("Network.requestWillBeSent");
    let asked: Vec<_> = requests.iter().filter_map(|event| event["request"]["url"].as_str()).collect();
    assert!(asked.len() >= 2 * urls.len(), "{asked:?}");
    let is_foreign = |asked: &&&str| !asked.starts_with("data:") && !urls.iter().any(|url| asked.starts_with(&**url));
    assert_eq!(asked.iter().find(is_foreign), None);
    for trouble in
        ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Page.javascriptDialogOpening"]
    {
        assert_eq!(browser.events(trouble), Vec::<&serde_json::Value>::new(), "{trouble}");
    }
}

/// What a device says and is called stays text, however it looks, and however long it is.
fn hostile_device(browser: &mut Browser) -> String {
    let broker = Broker::start();
    let device = Device::plug("<b>bold&amp;'\"");
    let gateway = start(&["--http", "0", "--serial", device.path(), "--broker", &broker.url()]);
    gateway.expect_stderr("subscribed", MARGIN);
    let url = format!("http://127.0.0.1:{}/", port(&gateway));
    browser.look(PHONE, false, true);
    browser.open(&url);
    let image = "<img/src=x:/onerror=alert(1)>";
    let long = "W".repeat(1000);
    device.say(&format!("image={image} <script>=1 __proto__=2 long={long} \u{202e}right=3\n"));
    browser.wait_until("document.querySelectorAll('#devices .field').length === 5");
    let texts = browser.value("Array.from(document.querySelectorAll('#devices .field'), f => f.textContent).sort()");
    let long = format!("long{}", &long[..256]);
    assert_eq!(texts, serde_json::json!(["<script>1", "__proto__2", format!("image{image}"), long, "\u{202e}right3"]));
    assert_eq!(browser.value("document.querySelector('#devices h3').textContent"), device.name());
    let made = browser.value("document.querySelectorAll('img, h3 b, body script ~ script').length");
    assert_eq!((made, browser.value("document.title")), (0.into(), "Becket gateway".into()));
    assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true);
    // A page that is still there would ask on, and complain.
    browser.open("about:blank");
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
    url
}

#[test]
fn the_page_lives_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return };
    let before = hostile_device(&mut browser);
    let gateway = start(&[]);
    let url = format!("http://127.0.0.1:{}/", port(&gateway));
    browser.look(DESKTOP, false, false);
    browser.open(&url);
    browser.wait_until("document.querySelectorAll('#devices .field').length === 2");
    assert_eq!(browser.value("document.querySelector('#devices h3').textContent"), "simulated");
    // Readings come, their values wander, and charts have something to show.
    for part in ["#tiles .value", "#devices .field b", "#fibers tr td:nth-child(4)"] {
        let text = format!("document.querySelector('{part}').textContent");
        let first = browser.value(&text);
        browser.wait_until(&format!("{text} !== {first}"));
    }
    browser.wait_until("(document.querySelector('#charts .line').getAttribute('d') ?? '').split('L').length >= 8");
    let names = browser.value("Array.from(document.querySelectorAll('#fibers tr'), r => r.children[1].textContent)");
    for name in ["main", "signals", "mqtt", "simulated", "simulated readings", "heartbeat", "page"] {
        assert!(names.as_array().is_some_and(|all| all.iter().any(|n| n == name)), "{name}: {names}");
    }
    let texts =
        browser.value("document.querySelector('#silent').hidden && document.querySelectorAll('#bars rect').length > 2");
    assert_eq!(texts, true);

    for (name, size, dark, phone) in [
        ("desktop", DESKTOP, false, false),
        ("desktop-dark", DESKTOP, true, false),
        ("phone", PHONE, false, true),
        ("phone-dark", PHONE, true, true),
    ] {
        browser.look(size, dark, phone);
        browser.wait_until(&format!("innerWidth === {} && document.readyState === 'complete'", size.0));
        assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true, "{name}");
        let colour = browser.value("getComputedStyle(document.body).backgroundColor");
        assert_eq!(colour == "rgb(16, 23, 26)", dark, "{name}: {colour}");
        browser.picture(&pictures().join(format!("gateway-{name}.png")));
    }
    assert_clean(&mut browser, &[before, url]);

    // It says so when nobody answers.
    gateway.signal(Signal::TERM);
    Sums::of(&gateway.finish(MARGIN));
    browser.wait_until("document.getElementById('silent').textContent.includes('does not answer')");
    browser.wait_until("!document.getElementById('silent').hidden && document.body.classList.contains('stale')");
    browser.picture(&pictures().join("gateway-silent.png"));
}
