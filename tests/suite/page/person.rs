//! A person at three in the morning: looks, pastes a token, ends what it belongs to, and sees that it is dead. With a real browser, which
//! must find nothing to complain of and ask nobody else for anything.

use super::browser::Browser;
use super::{HOSTILE, House};

/// Wide, and a phone.
const SIZES: [(&str, u32, u32); 2] = [("desktop", 1_280, 900), ("phone", 375, 812)];

/// What of the page somebody could not use, in words: of each text its contrast (WCAG 2.2, 1.4.3), of each field its label, of each table its
/// headers, and whether it has to be moved sideways.
const UNUSABLE: &str = r#"(() => {
  const wrong = [];
  const parts = colour => (colour.match(/[\d.]+/g) || []).map(Number);
  const opaque = one => { const [, , , alpha = 1] = parts(one); return alpha > 0; };
  const light = colour => {
    const [r, g, b] = parts(colour).map(value => value / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = one => {
    for (; one; one = one.parentElement) { const colour = getComputedStyle(one).backgroundColor; if (opaque(colour)) return colour; }
    return 'rgb(255, 255, 255)';
  };
  for (const one of document.querySelectorAll('body *')) {
    const says = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!says || one.matches('.skip')) continue;
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${one.tagName} ${one.textContent.trim().slice(0, 40)}`);
  }
  for (const one of document.querySelectorAll('input:not([type=hidden]), textarea, select'))
    if (!one.labels.length) wrong.push(`no label: ${one.name}`);
  for (const one of document.querySelectorAll('table'))
    if (one.getBoundingClientRect().right > one.parentElement.getBoundingClientRect().right + 1) wrong.push('a table wider than its place');
  for (const one of document.querySelectorAll('table'))
    if (!one.querySelector('thead th[scope=col]') || !one.querySelector('tbody th[scope=row]')) wrong.push('a table without headers');
  for (const one of document.querySelectorAll('svg'))
    if (!one.getAttribute('aria-label')) wrong.push('a plot without words');
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`wider than the window: ${document.documentElement.scrollWidth}`);
  if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
  return wrong;
})()"#;

/// Looks at the page in each size, light and dark, and keeps a picture of two of them.
async fn is_usable(browser: &mut Browser, name: &str) {
    for (size, width, height) in SIZES {
        for scheme in ["light", "dark"] {
            browser.looks(width, height, scheme).await;
            let wrong = browser.value(UNUSABLE).await;
            assert_eq!(wrong, serde_json::json!([]), "{name}, {size}, {scheme}");
            if (size == "desktop") == (scheme == "dark") {
                continue;
            }
            let picture = browser.picture(&format!("{name}-{size}-{scheme}")).await;
            let bytes = std::fs::read(picture).unwrap();
            assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 4_000, "{name}: an empty picture");
        }
    }
}

async fn explains(browser: &mut Browser, token: &str) -> String {
    browser.click("Explain").await;
    browser.write("#token", token).await;
    browser.click("Say why").await;
    browser.text(".state").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finds_out_why_ends_it_and_sees_it_dead() {
    let house = House::start("").await;
    let (token, _) = house.issue("mobile-app", "alice").await;
    let (other, _) = house.issue("web-app", "alice").await;
    let (hostile, _) = house.issue("mobile-app", HOSTILE).await;
    let home = format!("http://{}", house.admin);
    let mut browser = Browser::start().await;
    browser.open(&format!("{home}/")).await;
    while browser.text(".verdict").await != "Ready" {
        browser.open(&format!("{home}/")).await;
    }
    for expected in ["Nothing is wrong", "Calls of the store", "Revocations in memory", "EdDSA", "standby", "memory:"] {
        assert!(browser.reads(expected).await, "{expected}: {}", browser.text("body").await);
    }
    assert_eq!(browser.value("document.querySelector('meta[http-equiv=refresh]').content").await, "10");
    browser.click("Stand still").await;
    assert!(browser.value("document.querySelector('meta[http-equiv=refresh]')").await.is_null());
    is_usable(&mut browser, "overview").await;

    let said = explains(&mut browser, &token).await;
    assert!(said.starts_with("Active") && said.contains("generation 1 of 1"), "{said}");
    assert!(browser.reads("Tag").await && browser.reads("mobile-app").await);
    let source = browser.value("document.documentElement.outerHTML").await;
    assert!(!source.as_str().unwrap().contains(&token) && browser.value("location.href").await == format!("{home}/explain"));
    is_usable(&mut browser, "explain").await;
    browser.click("Revoke this grant…").await;
    assert!(browser.text(".state").await.starts_with("1 living grant would end"), "{}", browser.text("body").await);
    is_usable(&mut browser, "dry-run").await;
    assert!(house.is_active(&token).await, "nothing ended yet");
    browser.click("Revoke").await;
    assert!(browser.text(".state").await.starts_with("Done"), "{}", browser.text("body").await);
    is_usable(&mut browser, "revoked").await;
    assert!(!house.is_active(&token).await && house.is_active(&other).await);
    let said = explains(&mut browser, &token).await;
    assert!(said.starts_with("Not active") && said.contains("grant revoked"), "{said}");
    is_usable(&mut browser, "dead").await;

    browser.click("Grants").await;
    browser.write("#sub", "alice").await;
    browser.click("Show").await;
    assert!(browser.reads("1 living").await && browser.reads("web-app").await && !browser.reads("mobile-app").await);
    is_usable(&mut browser, "grants").await;
    browser.open(&format!("{home}/grants")).await;
    browser.write("#sub", HOSTILE).await;
    browser.click("Show").await;
    assert!(browser.text("h1").await.contains(HOSTILE), "{}", browser.text("h1").await);
    browser.click("Revoke all…").await;
    browser.click("Revoke").await;
    assert!(browser.text(".state").await.contains(HOSTILE) && !house.is_active(&hostile).await);

    assert_eq!(browser.complaints().await, [""; 0]);
    assert!(browser.asked_for().contains(&format!("{home}/style.css").as_str()), "what is asked for is seen");
    let foreign: Vec<&str> = browser.asked_for().into_iter().filter(|url| !url.starts_with(&format!("{home}/"))).collect();
    assert_eq!(foreign, [""; 0]);
    assert!(!house.log().contains(token.get(40..).unwrap()));
    // It would complain.
    browser.value("document.body.append(Object.assign(document.createElement('script'), {textContent: 'alert(1)'}))").await;
    assert!(browser.complaints().await.concat().contains("Content Security Policy"));
}
