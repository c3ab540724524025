//! Schedules as an author meets them: a file, a clock that a test moves, and the runs that come of it.

use std::sync::Arc;
use std::time::Duration;

use hookhand::domain::notice::ChatKey;
use hookhand::domain::run::{RunSource, RunState};
use hookhand::ledger::runs::{RunFilter, RunLedger};
use hookhand::ports::RandomIds;
use hookhand::tool::ToolRegistry;
use hookhand::workflow::catalog::Catalog;
use hookhand::workflow::definition::Known;
use hookhand::workflow::scheduler::Scheduler;
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::clock::patiently;
use crate::runs::world::World;

const HOUR: Duration = Duration::from_secs(3600);

/// A world whose workflows are files, and a scheduler over them.
struct Timed {
    world: World,
    catalog: Arc<Catalog>,
    scheduler: Scheduler,
    running: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Timed {
    /// At `at`, before anything is scheduled.
    fn at(at: &str) -> Self {
        let world = World::new();
        let start: Timestamp = at.parse().expect("a timestamp");
        world.clock.advance(start.duration_since(world.now()).unsigned_abs());
        let folder = world.dir.path().join("data/workflows");
        std::fs::create_dir_all(&folder).expect("made");
        let tools = ToolRegistry::standard().with(world.probe.clone());
        let catalog = Arc::new(Catalog::load(&folder, Arc::new(Known::tools(tools))));
        let scheduler = Scheduler {
            catalog: catalog.clone(),
            engine: world.engine.clone(),
            ledger: world.ledger.clone(),
            clock: world.clock.clone(),
            ids: Arc::new(RandomIds::default()),
            chat: Some(ChatKey::terminal()),
        };
        Self { world, catalog, scheduler, running: None }
    }

    /// Writes the file of the workflow `name` and has it read.
    fn write(&self, name: &str, schedule: &str, more: &str) {
        let text = format!(
            "name: {name}\ntrigger: schedule\nschedule: {{ {schedule} }}\n{more}steps:\n  - {{ name: a, tool: probe, args: {{ say: \"{name} {{{{ inputs.scheduled_for }}}} {{{{ inputs.missed }}}}\" }} }}\n"
        );
        self.world.workflow(&text);
        let path = self.world.dir.path().join(format!("data/workflows/{name}.yaml"));
        std::fs::write(path, text).expect("written");
        self.catalog.reload();
        assert_eq!(self.catalog.faults(), []);
    }

    fn wake(&mut self) {
        let stop = CancellationToken::new();
        let (scheduler, token) = (self.scheduler.clone(), stop.clone());
        self.running = Some((tokio::spawn(async move { scheduler.run(token).await }), stop));
    }

    /// Ends the scheduler as the end of the process would.
    async fn kill(&mut self) {
        let (task, _) = self.running.take().expect("it works");
        task.abort();
        let _aborted = task.await;
    }

    /// What the first `count` runs said, the clock moving meanwhile.
    async fn said(&self, count: usize) -> Vec<String> {
        self.world.clock.run_until(self.world.probe.until_called(count)).await;
        self.world.probe.said().into_iter().map(|said| said.as_str().expect("a text").to_owned()).collect()
    }

    /// Returns once the only schedule is in use, or no longer.
    async fn is_active(&self, active: bool) {
        let expected = json!([[i64::from(active)]]);
        patiently(async {
            loop {
                let sql = "SELECT active FROM schedules";
                let found = hookhand::ledger::Ledger::query(&*self.world.ledger, sql, 9).await.expect("read").rows;
                if json!(found) == expected {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Lets `by` pass, from sleep to sleep.
    async fn pass(&self, by: Duration) {
        self.world.clock.run_for(by).await;
        self.looked().await;
    }

    /// Returns once the scheduler has looked at the present time: it sleeps for a time that is not over.
    async fn looked(&self) {
        patiently(async {
            loop {
                let now = self.world.now();
                if self.world.clock.next_deadline().is_some_and(|at| at > now) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn each_time_starts_one_run_and_daylight_saving_neither_loses_nor_doubles_one() {
    let mut timed = Timed::at("2026-03-28T00:00:00Z");
    timed.write("spring", "cron: \"30 2 * * *\", timezone: Europe/Berlin", "");
    timed.wake();
    assert_eq!(
        timed.said(3).await,
        [
            "spring 2026-03-28T02:30:00+01:00 0",
            // 02:30 does not exist on this day.
            "spring 2026-03-29T03:00:00+02:00 0",
            "spring 2026-03-30T02:30:00+02:00 0"
        ]
    );
    let runs = timed.world.ledger.runs(RunFilter::default()).await.expect("listed").items;
    assert!(runs.iter().all(|run| run.source == RunSource::Schedule), "{runs:?}");
    assert_eq!(runs[0].started_by, "schedule 30 2 * * * Europe/Berlin");

    let mut timed = Timed::at("2026-10-24T12:00:00Z");
    timed.write("autumn", "cron: \"30 2 * * *\", timezone: Europe/Berlin", "");
    timed.wake();
    assert_eq!(
        timed.said(2).await,
        // 02:30 comes twice on the 25th.
        ["autumn 2026-10-25T02:30:00+02:00 0", "autumn 2026-10-26T02:30:00+01:00 0"]
    );
}

#[tokio::test]
async fn times_that_passed_while_nobody_looked_become_one_run_or_none() {
    let mut timed = Timed::at("2026-06-01T08:30:00Z");
    timed.write("made-up", "cron: \"0 * * * *\"", "");
    timed.write("skipped", "cron: \"5 * * * *\", missed: skip", "");
    timed.wake();
    timed.said(2).await;
    timed.kill().await;
    // 10:00 to 13:00 and 10:05 to 13:05 pass.
    timed.world.clock.advance(HOUR * 4 + Duration::from_secs(900));
    timed.wake();
    assert_eq!(
        timed.said(5).await,
        [
            "made-up 2026-06-01T09:00:00+00:00 0",
            "skipped 2026-06-01T09:05:00+00:00 0",
            "made-up 2026-06-01T13:00:00+00:00 4",
            "made-up 2026-06-01T14:00:00+00:00 0",
            "skipped 2026-06-01T14:05:00+00:00 0",
        ]
    );
}

#[tokio::test]
async fn a_clock_that_jumps_a_month_ahead_while_the_agent_runs_makes_one_run_of_it() {
    let mut timed = Timed::at("2026-06-01T08:30:00Z");
    timed.write("minutely", "cron: \"* * * * *\"", "");
    timed.wake();
    timed.is_active(true).await;
    timed.looked().await;
    timed.world.clock.advance(HOUR * 24 * 31);
    // A busy machine may see more minutes pass before this looks.
    let said = timed.said(2).await;
    assert_eq!(said[..2], ["minutely 2026-07-02T08:30:00+00:00 5000", "minutely 2026-07-02T08:31:00+00:00 0"]);
}

#[tokio::test]
async fn a_start_that_is_a_little_late_is_on_time() {
    let mut timed = Timed::at("2026-06-01T08:30:00Z");
    timed.write("w", "cron: \"0 9 * * *\", missed: skip", "");
    timed.wake();
    timed.looked().await;
    timed.kill().await;
    timed.world.clock.advance(Duration::from_secs(30 * 60 + 45));
    timed.wake();
    assert_eq!(timed.said(1).await, ["w 2026-06-01T09:00:00+00:00 0"]);
}

#[tokio::test]
async fn however_often_it_dies_and_however_many_look_a_time_starts_one_run() {
    let mut timed = Timed::at("2026-06-01T08:59:30Z");
    timed.write("w", "cron: \"0 * * * *\"", "");
    timed.wake();
    // A second one on the same ledger, as another process would have it.
    let stop = CancellationToken::new();
    let (second, token) = (timed.scheduler.clone(), stop.clone());
    let second = tokio::spawn(async move { second.run(token).await });
    for expected in 1..=3 {
        timed.said(expected).await;
        timed.kill().await;
        timed.wake();
        timed.pass(Duration::from_secs(600)).await;
        assert_eq!(timed.world.probe.said().len(), expected, "{:?}", timed.world.probe.said());
    }
    stop.cancel();
    second.await.expect("it ends");
    let rows = "SELECT count(*), count(DISTINCT started_at / 3600000) FROM runs";
    let counted = hookhand::ledger::Ledger::query(&*timed.world.ledger, rows, 1).await.expect("read").rows;
    assert_eq!(counted, [[json!(3), json!(3)]]);
}

#[tokio::test]
async fn an_edited_file_counts_from_its_edit() {
    let mut timed = Timed::at("2026-06-01T08:30:00Z");
    timed.wake();
    // Nobody sleeps while nothing is scheduled; a file wakes it.
    timed.write("w", "cron: \"0 9 * * *\"", "");
    assert_eq!(timed.said(1).await, ["w 2026-06-01T09:00:00+00:00 0"]);
    timed.pass(HOUR).await;
    // 09:30 is before the edit, 10:30 after it.
    timed.write("w", "cron: \"30 * * * *\"", "");
    assert_eq!(timed.said(2).await[1], "w 2026-06-01T10:30:00+00:00 0");
    timed.write("w", "cron: \"30 * * * *\"", "enabled: false\n");
    timed.is_active(false).await;
    timed.world.clock.advance(HOUR * 5);
    timed.write("w", "cron: \"30 * * * *\"", "enabled: true\n");
    // What passed while it was disabled is nobody's.
    assert_eq!(timed.said(3).await[2], "w 2026-06-01T16:30:00+00:00 0");
    let runs = timed.world.ledger.runs(RunFilter::default()).await.expect("listed").items;
    timed.world.rest(runs[0].id).await;
    assert_eq!(timed.world.row(runs[0].id).await.state, RunState::Success);
}

#[tokio::test]
async fn a_workflow_that_cannot_start_is_told_of_and_its_next_time_comes() {
    let mut timed = Timed::at("2026-06-01T08:30:00Z");
    let key = "concurrency: { key: \"{{ inputs.nobody.knows }}\" }\n";
    timed.write("w", "cron: \"0 * * * *\", timezone: America/New_York", key);
    timed.wake();
    timed.looked().await;
    timed.pass(HOUR * 2).await;
    let told = timed.world.notices().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("Workflow 'w' did not start at 2026-06-01 05:00 EDT\n"), "{told:?}");
    assert_eq!(timed.world.probe.said().len(), 0);
}

#[test]
fn lists_say_the_next_time() {
    let now: Timestamp = "2026-03-28T12:00:00Z".parse().expect("a timestamp");
    let parse = |enabled: &str| {
        let text = format!(
            "name: w\ntrigger: schedule\nschedule: {{ cron: \"30 2 * * *\", timezone: Europe/Berlin, missed: skip }}\n{enabled}steps:\n  - {{ name: a, tool: notify, args: {{ text: hi }} }}\n"
        );
        let known = Known::tools(ToolRegistry::declared());
        hookhand::workflow::definition::Workflow::parse("w.yaml", &text, &known).expect("it loads")
    };
    let workflow = parse("");
    assert_eq!(
        workflow.schedule_shown(now),
        json!({ "cron": "30 2 * * *", "timezone": "Europe/Berlin", "missed": "skip", "next_at": "2026-03-29T01:00:00Z", "rule": "30 2 * * * Europe/Berlin", "next": "next 2026-03-29 03:00 CEST" })
    );
    assert_eq!(workflow.next_words(now).as_deref(), Some("next 2026-03-29 03:00 CEST"));
    assert_eq!(parse("enabled: false\n").next_words(now), None);
}
