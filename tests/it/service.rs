//! A service with a job inside, `examples/service.rs`, as its callers and its operators see it: a process that answers, is killed, and
//! goes on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::example;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A running service; killed when it is dropped.
struct Service {
    child: Option<Child>,
    address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Service {
    fn start(dir: &Path, checkpoint_ms: u64) -> Self {
        let mut command = Command::new(example("service"));
        command.args(["--port", "0", "--deadline-s", "10", "--checkpoint-ms", &checkpoint_ms.to_string()]);
        command.arg("--state").arg(dir.join("state")).arg("--output").arg(dir.join("out"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Service { child: Some(child), address }
    }

    fn pid(&self) -> String {
        self.child.as_ref().unwrap().id().to_string()
    }

    fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to end, and waits for that.
    fn terminate(mut self) -> (Output, Duration) {
        let began = Instant::now();
        assert!(Command::new("kill").args(["-TERM", &self.pid()]).status().unwrap().success());
        (self.child.take().unwrap().wait_with_output().unwrap(), began.elapsed())
    }
}

/// An answer: its status and its text. None where the connection broke.
fn request(address: &str, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.trim().to_owned()))
}

fn get(address: &str, path: &str) -> (u16, String) {
    request(address, "GET", path, "").unwrap()
}

const ITEMS: [&str; 3] = ["tea", "milk", "bread"];

fn item(n: u64) -> &'static str {
    ITEMS[n as usize % ITEMS.len()]
}

/// Sends an order; true where it is durable.
fn order(address: &str, n: u64) -> bool {
    let body = format!(r#"{{"id": "order-{n}", "item": "{}", "count": {}}}"#, item(n), n + 1);
    request(address, "POST", "/orders", &body).is_some_and(|(status, _)| status == 200)
}

/// Sends these orders side by side; those that are not durable.
fn send(address: &str, orders: &[u64]) -> Vec<u64> {
    std::thread::scope(|scope| {
        let sent: Vec<_> = orders.iter().map(|n| scope.spawn(move || (*n, order(address, *n)))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).filter(|(_, durable)| !durable).map(|(n, _)| n).collect()
    })
}

fn assert_totals(address: &str, orders: u64) {
    for item in ITEMS {
        let total: u64 = (0..orders).filter(|n| self::item(*n) == item).map(|n| n + 1).sum();
        assert_eq!(get(address, &format!("/totals/{item}")), (200, total.to_string()), "{item}");
    }
}

/// How often each order was written.
fn written(dir: &Path) -> BTreeMap<String, u32> {
    let mut orders = BTreeMap::new();
    for file in fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "csv") {
            for row in fs::read_to_string(&file).unwrap().lines() {
                *orders.entry(row.split(',').next().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    orders
}

fn assert_written(dir: &Path, orders: u64) {
    let expected: BTreeMap<String, u32> = (0..orders).map(|n| (format!("order-{n}"), 1)).collect();
    assert_eq!(written(dir), expected);
}

#[test]
fn f2_an_order_that_was_acknowledged_counts_once_through_any_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut left: Vec<u64> = (0..48).collect();
    for kill in 0u64..3 {
        let service = Service::start(dir.path(), 30);
        let (now, later) = left.split_at(16);
        let address = service.address.clone();
        let sending = std::thread::spawn({
            let now = now.to_vec();
            move || send(&address, &now)
        });
        std::thread::sleep(Duration::from_millis(10 + kill * 15));
        service.kill();
        let unknown = sending.join().unwrap();
        left = unknown.into_iter().chain(later.iter().copied()).collect();
    }
    let service = Service::start(dir.path(), 30);
    assert_eq!(send(&service.address, &left), [0; 0], "all are durable in the end");
    assert_totals(&service.address, 48);
    assert_eq!(send(&service.address, &(0..48).collect::<Vec<_>>()), [0; 0], "sent again, they are known");
    assert_totals(&service.address, 48);
    let (output, _) = service.terminate();
    assert!(output.status.success(), "{output:?}");
    // What the last checkpoint holds is committed by the next start, where the end came before.
    let service = Service::start(dir.path(), 30);
    assert_totals(&service.address, 48);
    service.terminate();
    assert_written(dir.path(), 48);
}

#[test]
fn an_order_is_not_acknowledged_before_a_checkpoint_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), 400);
    let began = Instant::now();
    for n in 0..4 {
        assert!(order(&service.address, n));
    }
    assert!(
        began.elapsed() > Duration::from_millis(1_200),
        "each of them waits for a checkpoint of its own: {:?}",
        began.elapsed()
    );
    let manifests = fs::read_dir(dir.path().join("state/orders")).unwrap();
    let complete = manifests.filter(|entry| entry.as_ref().unwrap().path().join("manifest").exists()).count();
    assert!(complete >= 1, "the latest is kept");
}

#[test]
fn a_service_that_is_told_to_end_answers_what_has_come_and_goes_on_at_its_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), 300);
    assert_eq!(get(&service.address, "/ready"), (200, "ok".into()));
    assert_eq!(get(&service.address, "/health"), (200, "ok".into()));
    let (status, tree) = get(&service.address, "/tree");
    assert!(status == 200 && tree.starts_with("job orders: running") && tree.contains("(totals → orders)"), "{tree}");
    let address = service.address.clone();
    let sending = std::thread::spawn(move || send(&address, &[0, 1, 2, 3, 4, 5]));
    std::thread::sleep(Duration::from_millis(60));
    let (output, took) = service.terminate();
    assert_eq!(sending.join().unwrap(), [0; 0], "what had come was answered");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("ended at checkpoint "), "{output:?}");
    assert!(took < Duration::from_secs(10), "within its deadline: {took:?}");
    let service = Service::start(dir.path(), 30);
    assert_totals(&service.address, 6);
    assert_eq!(send(&service.address, &[6, 7]), [0; 0]);
    assert_totals(&service.address, 8);
}
