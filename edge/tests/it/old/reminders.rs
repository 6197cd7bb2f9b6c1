//! Reminders of 0.8.9 clients: made by one command and listed and cancelled by the next, wherever
//! that is connected.

use serde_json::{Value, json};

use super::{
    member,
    peer::{Client, Config},
    url,
};
use crate::harness::TestMesh;

#[tokio::test]
async fn a_reminder_of_one_command_is_listed_and_cancelled_by_the_next_on_another_edge() {
    let mesh = TestMesh::start(2).await;
    let config = member(&mesh, "bob", 0).await;
    let command = Client::open(&config).await;
    let at = jiff::Timestamp::now().as_millisecond() + 3_600_000;
    let once = command.remind("*", "stand up", at).await.unwrap();
    let each = command.remind_by("*/5 * * * *", "*", "drink").await.unwrap();
    assert_eq!((&once["deliverAt"], once.get("cron")), (&json!(at), None));
    assert_eq!(each["cron"], "*/5 * * * *");
    let why = command.remind_by("61 * * * *", "*", "never").await.unwrap_err();
    assert_eq!(why, "invalid_cron: Invalid cron expression: 61 * * * *");
    command.close().await;

    let next = Client::open(&Config { broker_url: url(&mesh, 1), ..config.clone() }).await;
    let listed = next.list_scheduled().await.unwrap();
    let messages: Vec<&Value> = listed.iter().map(|entry| &entry["message"]).collect();
    assert_eq!(messages.len(), 2);
    assert!(messages.contains(&&json!("stand up")) && messages.contains(&&json!("drink")));
    assert_eq!(next.cancel_scheduled(&once["scheduledId"]).await, Ok(true));
    assert_eq!(next.cancel_scheduled(&once["scheduledId"]).await, Ok(false));

    let again = Client::open(&config).await;
    let left = again.list_scheduled().await.unwrap();
    assert_eq!((left.len(), &left[0]["id"]), (1, &each["scheduledId"]));
    assert_eq!(again.cancel_scheduled(&each["scheduledId"]).await, Ok(true));
    assert_eq!(next.list_scheduled().await.unwrap(), Vec::<Value>::new());
    assert_eq!(next.strays().await, Vec::<Value>::new());
}
