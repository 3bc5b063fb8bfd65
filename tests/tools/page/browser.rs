//! A headless Chromium, spoken to over its pipe: JSON with a zero byte behind it, in and out. Nothing
//! listens anywhere, and it goes with the test.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

/// For one answer; on a busy machine its start takes some seconds.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Its descriptors 3 and 4 are the pipe; what it says besides is kept for a test that fails.
const START: &str = "command -v chromium >/dev/null || { echo 'no chromium: apt-get install chromium' >&2; exit 1; }; \
    exec chromium --headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --disable-quic \
    --no-first-run --disable-background-networking --disable-component-update --disable-sync \
    --disable-extensions --disable-dev-shm-usage --lang=en-GB --user-data-dir=\"$1\" about:blank \
    3<&0 4>&1 0</dev/null 1>/dev/null";

pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    last: u64,
    session: Option<String>,
    /// What was reported while nobody asked for it.
    news: VecDeque<Value>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// One empty page, whose errors and messages are heard.
    pub fn start() -> Self {
        let profile = tempfile::Builder::new().prefix("cf-chromium-").tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START, "sh"])
            .arg(profile.path())
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(profile.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let from = BufReader::new(from);
        let news = VecDeque::new();
        let mut browser = Self { child, to, from, last: 0, session: None, news, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    #[track_caller]
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let id = self.last;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.news.push_back(answer);
        }
    }

    /// Whether anything comes within [`PATIENCE`], be it the end.
    fn await_bytes(&self) -> bool {
        let mut pipe = [PollFd::new(self.from.get_ref(), PollFlags::IN)];
        !self.from.buffer().is_empty() || poll(&mut pipe, Some(&PATIENCE)).unwrap() > 0
    }

    #[track_caller]
    fn read(&mut self) -> Value {
        assert!(self.await_bytes(), "chromium says nothing any more");
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        if bytes.pop() != Some(0) {
            let said = std::fs::read_to_string(self._profile.path().join("stderr"));
            panic!("chromium has ended: {}", said.unwrap_or_default());
        }
        serde_json::from_slice(&bytes).unwrap()
    }

    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
    }

    /// A window of this width, as of a telephone when it is narrow.
    pub fn look(&mut self, width: u32, scheme: &str) {
        let narrow = width < 600;
        let (height, scale) = if narrow { (844, 2) } else { (900, 1) };
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": narrow}),
        );
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// What a script in the page gives.
    #[track_caller]
    pub fn evaluate(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &params);
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// What the page complained of since the last time: exceptions, messages, violations of its
    /// policy. That the network failed is left out.
    pub fn complaints(&mut self) -> Vec<String> {
        let news: Vec<Value> = self.news.drain(..).collect();
        let is_complaint = |news: &&Value| match news["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => true,
            Some("Log.entryAdded") => news["params"]["entry"]["source"] != "network",
            _ => false,
        };
        news.iter().filter(is_complaint).map(|news| news["params"].to_string()).collect()
    }

    /// The whole page as a PNG, in base64.
    pub fn picture(&mut self) -> String {
        let params = json!({"format": "png", "captureBeyondViewport": true});
        self.call("Page.captureScreenshot", &params)["data"].as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // When it ends by itself it leaves nobody behind.
        let close = format!("{}\0", json!({"id": 0, "method": "Browser.close"}));
        let _ = self.to.write_all(close.as_bytes());
        while self.await_bytes() {
            let length = self.from.fill_buf().map_or(0, <[u8]>::len);
            if length == 0 {
                break;
            }
            self.from.consume(length);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
