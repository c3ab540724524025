//! What a run is: the states of runs and steps, and how a step's effect may be repeated.

use super::event::words;

words! {
    /// Where a run is.
    RunState {
        /// It works, or waits for its turn.
        Running = "running",
        /// It waits for a person, an event, a child run or a time; nobody is kept busy by it.
        Waiting = "waiting",
        /// Ended: every step is done or skipped.
        Success = "success",
        /// Ended: a step failed.
        Error = "error",
        /// Ended: an approver said no.
        Denied = "denied",
        /// Ended: nobody decided in time.
        Expired = "expired",
        /// Ended: a person stopped it.
        Cancelled = "cancelled",
        /// Whether a step's effect happened is not known; a person settles it.
        InDoubt = "in_doubt",
    }
}

impl RunState {
    /// Whether nothing happens any more unless a person asks for it.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Running | Self::Waiting | Self::InDoubt => false,
            Self::Success | Self::Error | Self::Denied | Self::Expired | Self::Cancelled => true,
        }
    }
}

words! {
    /// Where a step is.
    StepState {
        /// Not begun.
        Ready = "ready",
        /// It waits for a person, an event, a child run or the time of its next attempt.
        Waiting = "waiting",
        /// Begun: from the commit before its effect to the one that says what became of it.
        Started = "started",
        /// Done.
        Success = "success",
        /// Failed.
        Error = "error",
        /// Its condition said no, or the run ended before it.
        Skipped = "skipped",
        /// An approver said no.
        Denied = "denied",
        /// Nobody decided in time.
        Expired = "expired",
        /// Stopped by a person.
        Cancelled = "cancelled",
        /// Begun, and whether its effect happened is not known.
        InDoubt = "in_doubt",
    }
}

impl StepState {
    /// Whether the step is over.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Ready | Self::Waiting | Self::Started | Self::InDoubt => false,
            Self::Success | Self::Error | Self::Skipped | Self::Denied | Self::Expired | Self::Cancelled => true,
        }
    }
}

words! {
    /// What a row among a run's steps stands for.
    StepKind {
        /// A call of a tool.
        Tool = "tool",
        /// A group whose steps run side by side.
        Group = "group",
        /// A step with `for_each`; each item has a row of its own.
        Loop = "loop",
    }
}

words! {
    /// Whether a step may be done again when it is not known whether it was done.
    Effect {
        /// Never: it is settled by `verify` or by a person.
        Once = "once",
        /// Yes: doing it twice is the same as doing it once.
        Idempotent = "idempotent",
        /// Yes: it changes nothing.
        Read = "read",
    }
}

impl Effect {
    /// Whether it may be done again without asking.
    pub fn is_repeatable(self) -> bool {
        match self {
            Self::Once => false,
            Self::Idempotent | Self::Read => true,
        }
    }
}

words! {
    /// What a tool can do to the world.
    Risk {
        /// It looks at something.
        Read = "read",
        /// It changes something of ours.
        Write = "write",
        /// It runs a program.
        Execute = "execute",
        /// It reaches other machines.
        Network = "network",
    }
}

words! {
    /// What started a run.
    RunSource {
        /// A stored event that its `on:` matches.
        Event = "event",
        /// A request to the workflow's own route, or to `generic`.
        Route = "route",
        /// A person: command line, chat, dashboard.
        Manual = "manual",
        /// A step of another run.
        Child = "child",
        /// The clock.
        Schedule = "schedule",
        /// The assistant proposed it in a conversation.
        Chat = "chat",
    }
}
