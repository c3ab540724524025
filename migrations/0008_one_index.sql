-- `notices_message` of version 3 has the same columns and the same condition.
DROP INDEX notices_messages;
