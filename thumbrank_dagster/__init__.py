"""Dagster's side: assets, jobs, sensors and resources that call thumbrank_core, and the commands that run them."""
