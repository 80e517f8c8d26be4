"""Wires: the log in the formats of other clients. Each is a folder that can be deleted.

A wire renders records to events by a pure function, so that an event has the same number in every
process and after every deployment. No wire knows another, and the engine knows none.
"""
