//! async-nats does what its users do, against the server of the first argument.

use std::error::Error;
use std::future::Future;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

type Outcome = Result<(), Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(30);

async fn pub_sub(nc: Client) -> Outcome {
    let mut sub = nc.subscribe("greet.*").await?;
    for i in 0..100 {
        nc.publish("greet.all", i.to_string().into()).await?;
    }
    for i in 0..100 {
        let message = timeout(PATIENCE, sub.next()).await?.ok_or("the end")?;
        assert_eq!((message.subject.as_str(), message.payload), ("greet.all", i.to_string().into()));
    }
    Ok(())
}

async fn wildcards(nc: Client) -> Outcome {
    let (mut tail, mut star) = (nc.subscribe("a.>").await?, nc.subscribe("a.*.c").await?);
    for subject in ["a", "a.b", "a.b.c", "a.b.c.d", "a.x.c"] {
        nc.publish(subject, Bytes::new()).await?;
    }
    for subject in ["a.b", "a.b.c", "a.b.c.d", "a.x.c"] {
        assert_eq!(timeout(PATIENCE, tail.next()).await?.ok_or("the end")?.subject.as_str(), subject);
    }
    for subject in ["a.b.c", "a.x.c"] {
        assert_eq!(timeout(PATIENCE, star.next()).await?.ok_or("the end")?.subject.as_str(), subject);
    }
    Ok(())
}

async fn request_reply(nc: Client) -> Outcome {
    let mut sub = nc.subscribe("upper").await?;
    let server = nc.clone();
    let answers = tokio::spawn(async move {
        for _ in 0..3 {
            let request = sub.next().await.unwrap();
            let answer = request.payload.to_ascii_uppercase();
            server.publish(request.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
    for word in ["one", "two", "three"] {
        let answer = timeout(PATIENCE, nc.request("upper", word.into())).await??;
        assert_eq!(answer.payload, word.to_uppercase());
    }
    Ok(answers.await?)
}

async fn headers(nc: Client) -> Outcome {
    let mut sub = nc.subscribe("headed").await?;
    let mut map = HeaderMap::new();
    map.append("Name", "value");
    map.append("Name", "second");
    nc.publish_with_headers("headed", map.clone(), "body".into()).await?;
    let message = timeout(PATIENCE, sub.next()).await?.ok_or("the end")?;
    assert_eq!((message.payload, message.headers), ("body".into(), Some(map)));
    Ok(())
}

async fn no_responders(nc: Client) -> Outcome {
    let error = timeout(PATIENCE, nc.request("nobody.listens", Bytes::new())).await?.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
    Ok(())
}

async fn queue_groups(nc: Client) -> Outcome {
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(nc.queue_subscribe("work", "workers".into()).await?);
    }
    for _ in 0..400 {
        nc.publish("work", Bytes::new()).await?;
    }
    // What was sent before a message to oneself has come when that has.
    let mut end = nc.subscribe("end").await?;
    nc.publish("end", Bytes::new()).await?;
    timeout(PATIENCE, end.next()).await?;
    let mut counts = Vec::new();
    for mut member in members {
        let mut count = 0;
        while timeout(Duration::ZERO, member.next()).await.is_ok() {
            count += 1;
        }
        counts.push(count);
    }
    assert_eq!(counts.iter().sum::<u32>(), 400);
    assert!(counts.iter().all(|count| (50..150).contains(count)), "{counts:?}");
    Ok(())
}

async fn drain(nc: Client) -> Outcome {
    let mut sub = nc.subscribe("drained").await?;
    for _ in 0..50 {
        nc.publish("drained", Bytes::new()).await?;
    }
    nc.flush().await?;
    sub.drain().await?;
    let mut count = 0;
    while timeout(PATIENCE, sub.next()).await?.is_some() {
        count += 1;
    }
    assert_eq!(count, 50);
    Ok(())
}

async fn unsubscribe_max(nc: Client) -> Outcome {
    let mut sub = nc.subscribe("limited").await?;
    sub.unsubscribe_after(3).await?;
    for _ in 0..10 {
        nc.publish("limited", Bytes::new()).await?;
    }
    nc.flush().await?;
    let mut count = 0;
    while timeout(PATIENCE, sub.next()).await?.is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    Ok(())
}

async fn max_payload(nc: Client) -> Outcome {
    let max = nc.max_payload();
    let mut sub = nc.subscribe("large").await?;
    nc.publish("large", vec![7; max].into()).await?;
    assert_eq!(timeout(PATIENCE, sub.next()).await?.ok_or("the end")?.payload.len(), max);
    let error = nc.publish("large", vec![7; max + 1].into()).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::client::PublishErrorKind::MaxPayloadExceeded);
    let info = nc.server_info();
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", info.port)).await?;
    raw.write_all(format!("PUB large {}\r\n", max + 1).as_bytes()).await?;
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await?;
    assert!(answer.ends_with("-ERR 'Maximum Payload Violation'\r\n"), "{answer}");
    Ok(())
}

async fn reconnect(_: Client) -> Outcome {
    // Below those that the kernel gives to who connects.
    let port = 20_000 + std::process::id() % 12_000;
    let socket = std::env::temp_dir().join(format!("interop-{port}.sock"));
    let start = || -> std::io::Result<Child> {
        Command::new(std::env::var_os("NATSD").unwrap_or_default())
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "--socket"])
            .arg(&socket)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    };
    let mut server = start()?;
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let options = ConnectOptions::new()
        .retry_on_initial_connect()
        .reconnect_delay_callback(|_| Duration::from_millis(50))
        .event_callback(move |event| {
            let tell = tell.clone();
            async move {
                if matches!(event, Event::Connected) {
                    let _ = tell.send(()).await;
                }
            }
        });
    let nc = options.connect(format!("nats://127.0.0.1:{port}")).await?;
    timeout(PATIENCE, told.recv()).await?;
    let mut sub = nc.subscribe("again").await?;
    nc.flush().await?;
    server.kill().await?;
    let _server = start()?;
    timeout(PATIENCE, told.recv()).await?;
    // Its re-subscription goes the same way as the message, and before it.
    nc.publish("again", "hello".into()).await?;
    assert_eq!(timeout(PATIENCE, sub.next()).await?.ok_or("the end")?.payload, "hello");
    let _ = std::fs::remove_file(socket);
    Ok(())
}

/// Runs one test with a client of its own.
async fn run<F: Future<Output = Outcome>>(url: &str, name: &str, test: impl FnOnce(Client) -> F) -> bool {
    let outcome = async {
        let nc = timeout(PATIENCE, async_nats::connect(url)).await??;
        timeout(Duration::from_secs(60), test(nc.clone())).await??;
        Ok::<_, Box<dyn Error>>(nc.drain().await?)
    };
    match outcome.await {
        Ok(()) => println!("ok rust {name}"),
        Err(error) => {
            println!("FAILED rust {name}: {error}");
            return false;
        }
    }
    sleep(Duration::from_millis(1)).await;
    true
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let url = std::env::args().nth(1).expect("the server's URL");
    let mut passed = 0;
    macro_rules! tests {
        ($($test:ident)*) => {{ $(passed += u32::from(run(&url, stringify!($test), $test).await);)* }};
    }
    tests!(pub_sub wildcards request_reply headers no_responders queue_groups drain unsubscribe_max max_payload);
    let mut expected = 9;
    if std::env::var_os("NATSD").is_some() {
        expected += 1;
        tests!(reconnect);
    } else {
        println!("SKIPPED rust reconnect: $NATSD is not set");
    }
    ExitCode::from(u8::from(passed != expected))
}
