"""Solver nodes as actors over a Ray cluster (docs/ray.md).

values: what is to run, and what does; no Ray.
actors: one node, in a Ray worker.
cluster: places, finds and drains nodes; needs Ray.
follow: a program that does so for an engine, in a process of its own.
nodes: the engine's end of that program; no Ray.
"""
