"""Attacks on this machine's own sandbox: does it hold?"""
