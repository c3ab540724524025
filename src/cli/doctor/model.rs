//! The models: whether each of them answers a question of one word, and whether anybody knows what it costs.

use std::sync::Arc;

use super::report::Report;
use crate::app;
use crate::config::Config;
use crate::model::{PRICES_DATE, check};
use crate::ports::SystemClock;
use crate::telemetry::Redactor;

pub(super) async fn model(config: &Config, report: &mut Report) {
    let Some(model) = &config.model else {
        report.ok("model", "not configured; summaries are the built-in ones");
        return;
    };
    let redactor = Redactor::new(app::all_secrets(config));
    let checks = match check(model, Arc::new(SystemClock), redactor).await {
        Ok(checks) => checks,
        Err(error) => return report.bad("model", error.to_string(), "this build cannot speak TLS"),
    };
    for check in checks {
        match check.outcome {
            Ok(()) => report.ok("model", format!("{} answers", check.label)),
            Err(why) => {
                let message = format!("{} gives no answer: {why}", check.label);
                report.bad("model", message, "look at model.name, model.api_key and model.base_url; until it answers, summaries are the built-in ones");
            }
        }
        if !check.price_known {
            let message =
                format!("what {} costs is not in the table of {PRICES_DATE}; it counts as a dear model", check.label);
            report.warn("model", message, "set model.price.input and model.price.output");
        }
    }
}
