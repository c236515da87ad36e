//! Who speaks otherwise than Prometheus does.

use super::*;
use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Instant;

#[test]
fn what_is_no_request_for_metrics_is_refused_and_harmless() {
    alone(|| {
        let daemon = daemon("metrics");
        let address = endpoint(&daemon);
        let many_headers = "X: y\r\n".repeat(1_000);
        let long_header = "x".repeat(1_000_000);
        for (request, status) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), Some("404")),
            (
                "GET /metrics/../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
                Some("404"),
            ),
            (
                "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
                Some("405"),
            ),
            ("DELETE /metrics HTTP/1.0\r\n\r\n".to_owned(), Some("405")),
            (
                format!("GET /metrics HTTP/1.1\r\n{many_headers}\r\n"),
                Some("431"),
            ),
            (
                format!("GET /metrics HTTP/1.1\r\nX: {long_header}\r\n\r\n"),
                Some("431"),
            ),
            ("GET /metrics HTTP/9.9\r\n\r\n".to_owned(), Some("400")),
            ("\0\u{1}\u{2}garbage\n\n\n\n".to_owned(), Some("400")),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), None),
        ] {
            let answer = http::say(address, request.as_bytes()).unwrap();
            let start = &request[..request.len().min(40)];
            match status {
                // One that is cut off while it still sends may not see the answer.
                Some(status) => assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} "))
                        || answer.starts_with(&format!("HTTP/1.0 {status} "))
                        || (answer.is_empty() && request.len() > 16_384),
                    "{start:?}: {answer}"
                ),
                None => assert!(!answer.contains(" 200 "), "{start:?}: {answer}"),
            }
        }
        // Random bytes, the same in every run.
        let mut seed = 7_u64;
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..2_000)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed.to_be_bytes()[0]
                })
                .collect();
            let mut stream = http::connect(address).unwrap();
            stream.write_all(&bytes).unwrap_or_default();
        }
        scrape(&daemon);
        daemon.list().unwrap();
        assert!(!daemon.messages().contains("panicked"));
    });
}

#[test]
fn the_slow_are_shut_out_and_others_are_served() {
    alone(|| {
        let daemon = daemon("metrics");
        let address = endpoint(&daemon);
        // As many as there is room for: then the next one waits for the first to go.
        let slow: Vec<_> = (0..64)
            .map(|_| {
                let mut stream = http::connect(address).unwrap();
                stream.write_all(b"GET /metrics HTTP/1.1\r\nX:").unwrap();
                stream
            })
            .collect();
        let begun = Instant::now();
        scrape(&daemon);
        println!("served after {:?}", begun.elapsed());
        daemon.list().unwrap();
        for mut stream in slow {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap_or_default();
        }
        println!("all shut out after {:?}", begun.elapsed());
        assert!(begun.elapsed() < LIMIT);
    });
}

#[test]
fn a_hundred_at_once_are_all_served() {
    alone(|| {
        let daemon = daemon("metrics");
        let address = endpoint(&daemon);
        let before = scrape(&daemon).sum("keepfast_scrape_stall_seconds_count");
        let begun = Instant::now();
        thread::scope(|scope| {
            let all: Vec<_> = (0..100)
                .map(|number| {
                    let accept = if number % 2 == 0 {
                        "text/plain"
                    } else {
                        "application/openmetrics-text"
                    };
                    scope.spawn(move || http::get(address, accept).unwrap())
                })
                .collect();
            for (number, page) in all.into_iter().enumerate() {
                let page = page.join().unwrap();
                assert_eq!(page.ends_with("# EOF\n"), number % 2 == 1);
            }
        });
        println!("100 served after {:?}", begun.elapsed());
        let after = scrape(&daemon).sum("keepfast_scrape_stall_seconds_count");
        // They share what was gathered.
        assert!(after - before < 50.0, "gathered {} times", after - before);
        daemon.list().unwrap();
    });
}
