"""When a month is trained, and what people are told of it: pure decisions, and the facts in Postgres that they need."""
