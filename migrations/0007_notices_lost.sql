-- Notices that no chat took, or that may have been: the overview counts them, and they are few among all.
CREATE INDEX notices_lost ON notices (state) WHERE state IN ('failed', 'maybe_sent');
