//! The table of addresses: which are public, and that no other may be reached unless it is listed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Verdict, table};
use crate::domain::reach::{AllowList, Reach};
use crate::prove::stand::{Delivery, Receiver, Sender, Setup, Wanted};
use crate::prove::{Context, Sabotage};

/// Ways of writing this machine.
const HOSTS: [&str; 9] = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
];

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let mut table: BTreeMap<String, Vec<IpAddr>> = table::read("addresses", include_str!("../tables/addresses.yaml"))?;
    if context.wrong(Sabotage::Tables) {
        table.entry("public".into()).or_default().push(IpAddr::from([127, 0, 0, 1]));
    }
    let nothing = AllowList::default();
    let (mut faults, mut rows) = (Vec::new(), 0);
    for (kind, addresses) in &table {
        for address in addresses {
            rows += 1;
            let reach = Reach::of(*address);
            if reach.to_string() != *kind {
                faults.push(format!("{address} is taken for {reach}, and is {kind}"));
            }
            let admitted = nothing.admits("host.example", *address).is_ok();
            if admitted != (kind == "public") {
                faults.push(format!("{address} ({kind}) is {}", if admitted { "admitted" } else { "refused" }));
            }
        }
    }
    let tried = not_reached(context, &mut faults).await?;
    Ok(Verdict::of(
        format!("{rows} addresses of {} kinds; {tried} ways of writing this machine, none reached", table.len()),
        faults,
    ))
}

/// Steps of a real agent that would reach this machine, written in every way; how many there were.
async fn not_reached(context: &Context, faults: &mut Vec<String>) -> Result<usize, String> {
    let receiver = Receiver::start(None).await?;
    let port = receiver.address.port();
    let mut wanted = Wanted::default();
    for (at, host) in HOSTS.iter().enumerate() {
        wanted.workflows.push((format!("reach{at}"), format!(
            "name: reach{at}\ntrigger: webhook\nsteps:\n  - {{ name: ask, tool: http_request, on_error: continue, args: {{ url: \"http://{host}:{port}/{at}\" }} }}\n  \
             - {{ name: send, tool: hook, on_error: continue, args: {{ url: \"http://{host}:{port}/{at}\" }} }}\n"
        )));
    }
    let setup = Setup::write(&context.folder.join("addresses"), &wanted, &context.secrets).await?;
    let agent = setup.up(&context.options.program).await?;
    let sender = Sender::new(context.secrets.clone())?;
    for (at, host) in HOSTS.iter().enumerate() {
        let delivery = Delivery::plain(&format!("reach{at}"), &json!({}));
        // Some ways are refused when the workflow loads; then there is no such route.
        let answer = sender.send(agent.webhooks, &delivery).await.ok_or("the agent does not answer")?;
        let answered: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        let steps = answered["results"].as_array().map_or(&[][..], Vec::as_slice);
        let refused =
            answer.status.as_u16() == 404 || (steps.len() == 2 && steps.iter().all(|step| step["status"] == "error"));
        if !refused {
            faults.push(format!("{host}: {}", answer.body));
        }
    }
    if receiver.total() > 0 {
        faults.push(format!("this machine was reached {} times", receiver.total()));
    }
    agent.kill().await;
    Ok(HOSTS.len())
}
