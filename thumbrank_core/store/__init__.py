"""Postgres (embedded or anybody's), typed COPY, migrations, and the content-addressed picture store."""
