"""A load generator: simultaneous people who chat with a running server. Needs no Django."""
