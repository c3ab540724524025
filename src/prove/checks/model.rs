//! A model that takes every question and never answers: the sender has its answer and the chat its notice all the same.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::Verdict;
use crate::prove::Context;
use crate::prove::stand::{APPROVER, Sender, Setup, Wanted, github};

/// The key of a model that never answers.
const KEY: &str = "sk-prove-model-key-5f2c91";
/// Within this the answer must be there; a model's time-out is twenty times as long.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Within this the notice must be there.
const NOTICE_MAX: Duration = Duration::from_secs(6);

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let asked = tokio::spawn(async move {
        let mut held = Vec::new();
        // Held open, and never answered.
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    context.secrets.add(KEY);
    let keys = format!(
        "model: {{ provider: openai, name: gpt-4o-mini, base_url: \"http://{address}/v1\", api_key: {KEY}, timeout_seconds: 60 }}"
    );
    let wanted = Wanted { keys, ..Wanted::default() };
    let setup = Setup::write(&context.folder.join("model"), &wanted, &context.secrets).await?;
    let agent = setup.up(&context.options.program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    let mut faults = Vec::new();
    let begun = Instant::now();
    let answer = sender.deliver(agent.webhooks, &github("github", "delivery-1", 1, "Silence")).await?;
    let answered = begun.elapsed();
    if answer.is_none() || answered > ANSWER_MAX {
        faults.push(format!("the answer took {answered:?}"));
    }
    let notice = tokio::time::timeout(NOTICE_MAX, setup.telegram.wait_for_messages(APPROVER, 1)).await;
    let told = begun.elapsed();
    match notice {
        Ok(messages) if messages[0].text.contains("Silence") => {}
        Ok(messages) => faults.push(format!("the notice reads: {}", messages[0].text)),
        Err(_) => faults.push(format!("no notice within {NOTICE_MAX:?}")),
    }
    setup.telegram.messages(APPROVER).iter().for_each(|seen| context.secrets.said("a chat", seen.raw.clone()));
    agent.kill().await;
    asked.abort();
    Ok(Verdict::of(format!("answered after {} ms, told after {} ms", answered.as_millis(), told.as_millis()), faults))
}
