//! The table of forwarding headers: what a client writes must not become its address.

use std::net::IpAddr;

use serde::Deserialize;

use super::{Verdict, table};
use crate::domain::net::{Cidr, ForwardingStyle, client_address};
use crate::prove::{Context, Sabotage};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    trusted: Vec<String>,
    x_forwarded_for: Vec<Row>,
    forwarded: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    peer: IpAddr,
    lines: Vec<String>,
    client: IpAddr,
}

pub(super) async fn check(context: &Context) -> Result<Verdict, String> {
    let mut table: Table = table::read("forwarded", include_str!("../tables/forwarded.yaml"))?;
    if context.wrong(Sabotage::Tables) {
        table.x_forwarded_for[0].client = IpAddr::from([6, 6, 6, 6]);
    }
    let trusted: Result<Vec<Cidr>, _> = table.trusted.iter().map(|range| range.parse()).collect();
    let trusted = trusted.map_err(|_| "the table forwarded: a range is none")?;
    let styles =
        [(ForwardingStyle::XForwardedFor, table.x_forwarded_for), (ForwardingStyle::Forwarded, table.forwarded)];
    let (mut faults, mut rows) = (Vec::new(), 0);
    for (style, table) in styles {
        for Row { peer, lines, client } in table {
            rows += 1;
            let read = client_address(peer, &trusted, style, lines.iter().map(String::as_bytes));
            if read != client {
                faults.push(format!("{peer} with {lines:?} is taken for {read}, and is {client}"));
            }
        }
    }
    Ok(Verdict::of(format!("{rows} rows"), faults))
}
