"""A YouTube that lives on 127.0.0.1: its world, its pictures, its HTTP API.

Only the demo, tests, benchmarks and scripts import this package; no other part of the library may.
"""
