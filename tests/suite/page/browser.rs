//! A real headless Chromium, driven by its own protocol over two pipes. It reaches nothing but loopback. No tests here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Names that Debian and others give it.
const NAMES: [&str; 3] = ["chromium-headless-shell", "chromium", "chromium-browser"];
/// How long an answer may take; a machine that is busy with other tests included.
const PATIENCE: Duration = Duration::from_secs(120);

/// What it is told once for all: no sandbox, for the tests may be root and it sees our own pages alone; nothing of its own accord over the
/// network, and no name is resolved.
const OPTIONS: [&str; 12] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// One tab. Ends with its value.
pub struct Browser {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    events: Vec<Value>,
    _process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        let found = NAMES.into_iter().find(|name| {
            std::process::Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        });
        let name = found.unwrap_or_else(|| panic!("there is no Chromium: `make test-tools` installs it"));
        let profile = tempfile::tempdir().unwrap();
        // It reads file 3 and writes file 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1", name])
            .args(OPTIONS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (to, from) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut browser = Self { to, from, session: None, last: 0, events: Vec::new(), _process: process, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true})).await;
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// What one message says; it is kept where it is an event.
    async fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.from.read_until(0, &mut bytes)).await;
        assert!(read.is_ok_and(|read| read.unwrap() > 0), "the browser says nothing more");
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        if message.get("method").is_some() {
            self.events.push(message.clone());
        }
        message
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).await.unwrap();
        self.to.flush().await.unwrap();
        loop {
            let mut answer = self.next().await;
            if answer["id"] == json!(self.last) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    fn loads(&self) -> usize {
        self.events.iter().filter(|event| event["method"] == "Page.loadEventFired").count()
    }

    /// Does something that leads to another page, and waits until that is there.
    async fn loaded(&mut self, before: usize) {
        while self.loads() == before {
            self.next().await;
        }
    }

    pub async fn open(&mut self, url: &str) {
        let before = self.loads();
        let opened = self.call("Page.navigate", json!({"url": url})).await;
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.loaded(before).await;
    }

    /// The value of an expression of JavaScript, said by us and not by the page.
    pub async fn value(&mut self, expression: &str) -> Value {
        let mut answer = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// What a person reads there.
    pub async fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(selector))).await;
        text.as_str().unwrap().to_owned()
    }

    /// Whether a word can be read on the page.
    pub async fn reads(&mut self, words: &str) -> bool {
        self.text("body").await.contains(words)
    }

    /// Types as from a keyboard.
    pub async fn write(&mut self, selector: &str, text: &str) {
        self.value(&format!("document.querySelector({}).focus()", json!(selector))).await;
        self.call("Input.insertText", json!({"text": text})).await;
    }

    /// Clicks with the mouse on the one button or link that says this, and waits for the page that it leads to.
    pub async fn click(&mut self, label: &str) {
        let expression = format!(
            "(() => {{ const all = [...document.querySelectorAll('button, a')].filter(one => one.innerText.trim() === {});
               if (all.length !== 1) throw new Error('there are ' + all.length);
               all[0].scrollIntoView({{block: 'center'}});
               const at = all[0].getBoundingClientRect();
               return [at.x + at.width / 2, at.y + at.height / 2]; }})()",
            json!(label)
        );
        let at = self.value(&expression).await;
        let before = self.loads();
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event).await;
        }
        self.loaded(before).await;
    }

    /// Makes it so wide and high, light or dark.
    pub async fn looks(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// A picture of the whole page, in the directory that cargo keeps for tests.
    pub async fn picture(&mut self, name: &str) -> PathBuf {
        let size = self.value("[innerWidth, document.documentElement.scrollHeight]").await;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let shot = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let shot = self.call("Page.captureScreenshot", shot).await;
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(format!("{name}.png"));
        std::fs::write(&file, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
        file
    }

    /// All that was asked for over the network.
    pub fn asked_for(&self) -> Vec<&str> {
        let of = |event: &&Value| event["method"] == "Network.requestWillBeSent";
        self.events.iter().filter(of).map(|event| event["params"]["request"]["url"].as_str().unwrap()).collect()
    }

    /// What it wrote to its console: errors, violations of the policy, scripts that ran and failed, dialogs that were opened.
    pub async fn complaints(&mut self) -> Vec<String> {
        // What came before is told before this is answered.
        self.value("0").await;
        let said = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"];
        let complaint = |event: &&Value| said.iter().any(|method| event["method"] == *method);
        self.events.iter().filter(complaint).map(ToString::to_string).collect()
    }
}
